"""Feast: the registry, the offline and online store that it calls, and materialization."""

__all__ = ["materialize", "repository", "retrieval_job"]
