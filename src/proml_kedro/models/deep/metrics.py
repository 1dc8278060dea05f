"""Metrics of early stopping: all are higher the better, and need NumPy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

_RANKS = 10  # NDCG looks at the first ten


def auc(label: Array, score: Array, group: Array | None = None) -> float:
    """Compute the area under the ROC curve by ranks (Mann and Whitney, 1947); both classes must occur.

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.6, 0.9]))
    0.875
    """
    from scipy.stats import rankdata

    positive = label > 0
    count = int(positive.sum())
    ranks = rankdata(score)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(label) - count)))


def log_likelihood(label: Array, probability: Array, group: Array | None = None) -> float:
    """Compute the mean logarithm of the probability of what happened: the negative log loss."""
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(np.mean(np.where(label == 1, np.log(inside), np.log1p(-inside))))


def root_mean_square(label: Array, estimate: Array, group: Array | None = None) -> float:
    """Compute the negative root of the mean squared difference."""
    return -float(np.sqrt(np.mean((label - estimate) ** 2)))


def mean_absolute(label: Array, estimate: Array, group: Array | None = None) -> float:
    """Compute the negative mean absolute difference."""
    return -float(np.mean(np.abs(label - estimate)))


def ndcg(label: Array, score: Array, group: Array | None) -> float:
    """Compute the NDCG of the first ten rows, averaged over groups with a positive label.

    Ties keep the order of the rows. 0 when no group has a positive label.

    Raises:
        ValueError: There are no groups.
    """
    if group is None:
        raise ValueError("there are no groups to rank in")
    _, groups = np.unique(group, return_inverse=True)
    gained, ideal = (_discounted(label, by, groups) for by in (score, label))
    counted = ideal > 0
    return float(np.mean(gained[counted] / ideal[counted])) if counted.any() else 0.0


def _discounted(label: Array, by: Array, groups: Array) -> npt.NDArray[np.float64]:
    """Compute the discounted gain of each group when its rows are sorted by ``by``, falling."""
    order = np.lexsort((-by, groups))
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    gain = (2.0 ** label[order] - 1) / np.log2(rank + 2) * (rank < _RANKS)
    return np.bincount(groups[order], gain).astype(np.float64)


Metric = Callable[[Array, Array, "Array | None"], float]

METRICS: dict[str, tuple[Metric, str]] = {
    "auc": (auc, "margin"),
    "logloss": (log_likelihood, "probability"),
    "rmse": (root_mean_square, "mean"),
    "mae": (mean_absolute, "mean"),
    "ndcg": (ndcg, "margin"),
}
"""By name: a function of label, output and group that is higher the better, and the output it judges."""
