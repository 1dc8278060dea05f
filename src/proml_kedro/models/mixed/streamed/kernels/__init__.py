"""Compiled loops over blocks of streamed rows."""

__all__ = ["compile"]
