"""Figures over time: what is usual of them, and what is not."""

__all__ = ["detect", "detector", "series", "store", "tune", "watch"]
