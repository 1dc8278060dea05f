"""What early stopping judges a head by; NumPy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from proml_kedro import formulas
from proml_kedro.models.component import Array

_RANKS = 10  # NDCG looks at the first ten


def auc(label: Array, score: Array, group: Array | None = None) -> float:
    """Area under the ROC curve; both classes must occur."""
    return formulas.auc(label > 0, score)


def log_likelihood(label: Array, probability: Array, group: Array | None = None) -> float:
    """Mean logarithm of the probability of what happened: the log loss with its sign turned."""
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(np.mean(np.where(label == 1, np.log(inside), np.log1p(-inside))))


def root_mean_square(label: Array, estimate: Array, group: Array | None = None) -> float:
    """Root of the mean squared difference, with its sign turned."""
    return -float(np.sqrt(np.mean((label - estimate) ** 2)))


def mean_absolute(label: Array, estimate: Array, group: Array | None = None) -> float:
    """Mean absolute difference, with its sign turned."""
    return -float(np.mean(np.abs(label - estimate)))


def ndcg(label: Array, score: Array, group: Array | None) -> float:
    """Normalised discounted cumulative gain of the first ten, the mean over groups with a positive label.

    Ties keep the order of the rows. 0 when no group has a positive label.
    """
    if group is None:
        raise ValueError("there are no groups to rank in")
    _, groups = np.unique(group, return_inverse=True)
    found = formulas.ndcg(2.0**label - 1, formulas.places(groups, score), groups, _RANKS)
    return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0


Metric = Callable[[Array, Array, "Array | None"], float]

METRICS: dict[str, tuple[Metric, str]] = {
    "auc": (auc, "margin"),
    "logloss": (log_likelihood, "probability"),
    "rmse": (root_mean_square, "mean"),
    "mae": (mean_absolute, "mean"),
    "ndcg": (ndcg, "margin"),
}
"""By name: a function of label, output and group that is higher the better, and the output it judges."""
