"""Engine for mixed models whose rows fit in memory."""

__all__ = ["engine"]
