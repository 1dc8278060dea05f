"""Online stores: the newest row of each entity, for scoring by keys."""

__all__ = ["consistency", "kind", "kinds", "lookup", "open", "push", "request_log", "sqlite", "store"]
