"""Compiled passes over rows in memory."""

__all__ = ["dense", "interactions", "rows"]
