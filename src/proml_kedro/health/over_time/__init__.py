"""How good a model is from period to period: its logged predictions beside labels that come later."""

__all__ = ["report", "write"]
