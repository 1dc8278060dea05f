"""Metrics of a score against what happened: of a probability, or of the mean of a number or count.

Every metric takes rows in the order of their score, with weights. So a bootstrap sorts once and then evaluates
each resample, which is only another weighting of the same rows, in linear time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.extensions import Registry

Array = npt.NDArray[np.float64]


class Metric(Protocol):
    """A figure of merit."""

    def __call__(self, label: Array, score: Array, weight: Array, /) -> float:
        """The weighted figure.

        Args:
            label: What happened, shape (n,).
            score: What was predicted, ascending, shape (n,).
            weight: Not negative, shape (n,).

        Returns:
            The figure; NaN when it is not defined, for example for rows of one class only.
        """


@dataclass(frozen=True)
class NamedMetric:
    """A metric, which way is up, and what it says."""

    compute: Metric
    higher_is_better: bool
    meaning: str


metrics: Registry[NamedMetric] = Registry("metric")


def _ties(probability: Array) -> npt.NDArray[np.int64]:
    """The first row of each run of equal probabilities."""
    return np.concatenate([[0], np.flatnonzero(np.diff(probability)) + 1])


def auc(label: Array, probability: Array, weight: Array) -> float:
    """Area under the ROC curve: how often a positive row has the higher probability; ties count half."""
    starts = _ties(probability)
    positive = np.add.reduceat(weight * label, starts)
    negative = np.add.reduceat(weight * (1 - label), starts)
    pairs = positive.sum() * negative.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / pairs)


def average_precision(label: Array, probability: Array, weight: Array) -> float:
    """Precision at each threshold, weighted by the recall that the threshold adds."""
    starts = _ties(probability)
    positive = np.add.reduceat(weight * label, starts)[::-1]
    taken = np.cumsum(np.add.reduceat(weight, starts)[::-1])
    if positive.sum() == 0:
        return float("nan")
    precision = np.divide(np.cumsum(positive), taken, out=np.zeros_like(taken), where=taken > 0)
    return float((positive * precision).sum() / positive.sum())


def logloss(label: Array, probability: Array, weight: Array) -> float:
    """Mean negative log-likelihood, in nats."""
    given = np.clip(np.where(label > 0, probability, 1 - probability), 1e-15, 1.0)
    return float(-(weight * np.log(given)).sum() / weight.sum())


def brier(label: Array, probability: Array, weight: Array) -> float:
    """Mean squared difference between probability and label."""
    return float((weight * (probability - label) ** 2).sum() / weight.sum())


def calibration_error(label: Array, score: Array, weight: Array, bins: int = 15) -> float:
    """Expected calibration error: mean gap between what is said and what happens, over bins of equal weight."""
    shares = np.cumsum(weight) / weight.sum()
    starts = np.unique(np.searchsorted(shares, np.arange(bins) / bins, side="right").clip(max=len(label) - 1))
    gaps = np.add.reduceat(weight * (score - label), starts)
    return float(np.abs(gaps).sum() / weight.sum())


def rmse(label: Array, score: Array, weight: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt((weight * (score - label) ** 2).sum() / weight.sum()))


def mae(label: Array, score: Array, weight: Array) -> float:
    """Mean absolute error."""
    return float((weight * np.abs(score - label)).sum() / weight.sum())


def r2(label: Array, score: Array, weight: Array) -> float:
    """Share of the labels' variance that the score explains."""
    mean = (weight * label).sum() / weight.sum()
    variance = (weight * (label - mean) ** 2).sum()
    return float(1 - (weight * (score - label) ** 2).sum() / variance) if variance > 0 else float("nan")


def poisson_deviance(label: Array, score: Array, weight: Array) -> float:
    """Mean deviance of a Poisson distribution: twice the log-likelihood that is lost against knowing each count."""
    mean = np.maximum(score, 1e-15)
    logarithm = np.log(np.where(label > 0, label, 1.0) / mean)
    return float(2 * (weight * (np.where(label > 0, label * logarithm, 0.0) - label + mean)).sum() / weight.sum())


_ALL = {
    "auc": NamedMetric(auc, True, "how often a positive row is ranked above a negative one"),
    "average_precision": NamedMetric(average_precision, True, "mean precision over all thresholds"),
    "logloss": NamedMetric(logloss, False, "mean negative log-likelihood, in nats"),
    "brier": NamedMetric(brier, False, "mean squared error of the probability"),
    "calibration_error": NamedMetric(calibration_error, False, "mean gap between what is said and what happens"),
    "rmse": NamedMetric(rmse, False, "root of the mean squared error"),
    "mae": NamedMetric(mae, False, "mean absolute error"),
    "r2": NamedMetric(r2, True, "share of the variance that is explained"),
    "poisson_deviance": NamedMetric(poisson_deviance, False, "mean deviance of a Poisson distribution"),
}
for _name, _metric in _ALL.items():
    metrics.register(_name)(_metric)


class Judged:
    """Scores of one model, sorted once, to be measured under many weightings.

    Args:
        label: What happened, shape (n,).
        score: Shape (n,).
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike) -> None:
        score = np.asarray(score, np.float64)
        self._order = np.argsort(score, kind="stable")
        self._score = score[self._order]
        self._label = np.asarray(label, np.float64)[self._order]

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Each metric by name.

        Args:
            names: Which metrics.
            weight: Of the rows in their own order, shape (n,); equal when None.
        """
        sorted_weight = np.ones(len(self._order)) if weight is None else weight[self._order]
        return {name: metrics.get(name).compute(self._label, self._score, sorted_weight) for name in names}
