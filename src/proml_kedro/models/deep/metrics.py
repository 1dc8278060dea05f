"""Metrics of early stopping: all are higher the better, and need NumPy alone. A row of weight 2 counts as two rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from proml_kedro import formulas
from proml_kedro.models.component import Array

_RANKS = 10  # NDCG looks at the first ten


def auc(label: Array, score: Array, weight: Array, group: Array | None = None) -> float:
    """Compute the area under the ROC curve; both classes must occur.

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.6, 0.9]), np.ones(4))
    0.875
    """
    return formulas.auc(label > 0, score, weight)


def log_likelihood(label: Array, probability: Array, weight: Array, group: Array | None = None) -> float:
    """Compute the mean logarithm of the probability of what happened: the negative log loss."""
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(np.average(np.where(label == 1, np.log(inside), np.log1p(-inside)), weights=weight))


def root_mean_square(label: Array, estimate: Array, weight: Array, group: Array | None = None) -> float:
    """Compute the negative root of the mean squared difference."""
    return -float(np.sqrt(np.average((label - estimate) ** 2, weights=weight)))


def mean_absolute(label: Array, estimate: Array, weight: Array, group: Array | None = None) -> float:
    """Compute the negative mean absolute difference."""
    return -float(np.average(np.abs(label - estimate), weights=weight))


def ndcg(label: Array, score: Array, weight: Array, group: Array | None) -> float:
    """Compute the NDCG of the first ten rows, averaged over groups with a positive label.

    Ties keep the order of the rows. 0 when no group has a positive label. A group counts as much as its rows do on
    average.

    Raises:
        ValueError: There are no groups.
    """
    if group is None:
        raise ValueError("there are no groups to rank in")
    _, groups = np.unique(group, return_inverse=True)
    found = formulas.ndcg(2.0**label - 1, formulas.places(groups, score), groups, _RANKS)
    counts = np.bincount(groups, weight) / np.bincount(groups)
    judged = np.isfinite(found)
    return float(np.average(found[judged], weights=counts[judged])) if judged.any() else 0.0


Metric = Callable[[Array, Array, Array, "Array | None"], float]

METRICS: dict[str, tuple[Metric, str]] = {
    "auc": (auc, "margin"),
    "logloss": (log_likelihood, "probability"),
    "rmse": (root_mean_square, "mean"),
    "mae": (mean_absolute, "mean"),
    "ndcg": (ndcg, "margin"),
}
"""By name: a function of label, output, weight and group that is higher the better, and the output it judges."""

HIGHER = frozenset({"auc", "ndcg"})
"""Those of :data:`METRICS` that people read as they are; of the others, which are losses, the negative."""
