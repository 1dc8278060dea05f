"""Feast: the registry, the offline and online store that it calls, and materialization."""

__all__ = ["history", "materialize", "repository"]
