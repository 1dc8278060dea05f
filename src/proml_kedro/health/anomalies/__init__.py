"""Figures over time: what is usual of them, and what is not."""

__all__ = ["detect", "detector", "store", "tune", "watch"]
