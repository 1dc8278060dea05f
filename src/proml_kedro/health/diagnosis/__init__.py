"""Why a figure is unusual: which rows made it so, and whether it was the rows or how they behave."""

__all__ = ["diagnose", "explain", "words"]
