"""Feature views: columns as they are and windowed aggregates, each value with the moment it is known from."""

__all__ = ["aggregates", "check", "compute", "freshness", "keys", "portable", "windows"]
