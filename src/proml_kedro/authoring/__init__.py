"""Authoring: from a stranger's files to proposed YAML, and what editors need to complete it."""

__all__ = ["descriptions", "initiate", "names", "schema"]
