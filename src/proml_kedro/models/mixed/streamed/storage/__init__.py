"""Rows on disk: divided by entity, packed into blocks, and collected again."""

__all__ = ["blocks", "collect", "encode", "entities", "index", "partition", "read"]
