"""How good a model is, and how sure that is."""

__all__ = [
    "class_scores",
    "compare",
    "groups",
    "metric",
    "predictions",
    "rankings",
    "report",
    "result",
    "rows",
    "scores",
]
