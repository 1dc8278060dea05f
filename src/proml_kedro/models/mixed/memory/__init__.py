"""The engine for mixed models whose rows fit in memory."""

__all__ = ["arrange", "fit", "settings"]
