"""Source tables, windows, training sets that respect time, and online values."""

__all__ = ["feast", "on_demand", "online", "tables", "training", "views"]
