"""Compiled kernels of a sweep."""

__all__ = ["compile", "variants"]
