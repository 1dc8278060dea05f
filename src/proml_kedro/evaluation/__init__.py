"""How good a model is, and how sure that is."""

__all__ = [
    "calibration",
    "clustered",
    "compare",
    "groups",
    "metric",
    "predictions",
    "rankings",
    "report",
    "result",
    "rows",
    "scores",
    "significance",
    "verdict",
]
