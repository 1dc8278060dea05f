"""Marketplace: an index of all declared features, to search and to check."""

__all__ = ["build", "entry", "index", "validate"]
