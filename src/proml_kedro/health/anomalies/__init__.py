"""Figures over time: what is usual of them, and what is not."""

__all__ = ["boards", "detect", "detector", "page", "series", "store", "tune", "watch"]
