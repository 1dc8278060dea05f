"""Messages about anomalies: to whom, how often, and what became of them."""

__all__ = ["alert"]
