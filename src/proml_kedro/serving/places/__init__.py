"""Places: parts of the scoring in processes or hosts of their own, and what a server asks them."""

__all__ = ["elsewhere", "listener", "place", "place_app", "work"]
