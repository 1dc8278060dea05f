"""Online store: the newest row of each entity, in SQLite or Redis, for scoring by keys."""

__all__ = ["consistency", "lookup", "open", "push", "request_log", "store"]
