"""How good a model is, and how sure that is."""

__all__ = [
    "calibration",
    "class_scores",
    "clustered",
    "compare",
    "gates",
    "groups",
    "learning",
    "metric",
    "power",
    "predictions",
    "rankings",
    "report",
    "result",
    "rows",
    "scores",
    "sections",
    "significance",
    "slices",
    "svg",
    "verdict",
]
