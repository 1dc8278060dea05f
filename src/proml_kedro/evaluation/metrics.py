"""Metrics of a probability against what happened.

Every metric takes rows in the order of their probability, with weights. So a bootstrap sorts once and then evaluates
each resample, which is only another weighting of the same rows, in linear time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.registry import Registry

Array = npt.NDArray[np.float64]


class Metric(Protocol):
    """A figure of merit."""

    def __call__(self, label: Array, probability: Array, weight: Array) -> float:
        """The weighted figure.

        Args:
            label: 0 or 1, shape (n,).
            probability: Ascending, shape (n,).
            weight: Not negative, shape (n,).

        Returns:
            The figure; NaN when it is not defined, for example for rows of one class only.
        """


@dataclass(frozen=True)
class NamedMetric:
    """A metric and which way is up."""

    compute: Metric
    higher_is_better: bool


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


def calibration_error(label: Array, probability: Array, weight: Array, bins: int = 15) -> float:
    """Expected calibration error: mean gap between probability and frequency, over bins of equal weight."""
    shares = np.cumsum(weight) / weight.sum()
    starts = np.unique(np.searchsorted(shares, np.arange(bins) / bins, side="right").clip(max=len(label) - 1))
    gaps = np.add.reduceat(weight * (probability - label), starts)
    return float(np.abs(gaps).sum() / weight.sum())


metrics.register("auc")(NamedMetric(auc, higher_is_better=True))
metrics.register("average_precision")(NamedMetric(average_precision, higher_is_better=True))
metrics.register("logloss")(NamedMetric(logloss, higher_is_better=False))
metrics.register("brier")(NamedMetric(brier, higher_is_better=False))
metrics.register("calibration_error")(NamedMetric(calibration_error, higher_is_better=False))


class Judged:
    """Probabilities of one model, sorted once, to be measured under many weightings.

    Args:
        label: 0 or 1, shape (n,).
        probability: Shape (n,).
    """

    def __init__(self, label: npt.ArrayLike, probability: npt.ArrayLike) -> None:
        probability = np.asarray(probability, np.float64)
        self._order = np.argsort(probability, kind="stable")
        self._probability = probability[self._order]
        self._label = np.asarray(label, np.float64)[self._order]

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Each metric by name.

        Args:
            names: Which metrics.
            weight: Of the rows in their own order, shape (n,); equal when None.
        """
        sorted_weight = np.ones(len(self._order)) if weight is None else weight[self._order]
        return {name: metrics.get(name).compute(self._label, self._probability, sorted_weight) for name in names}
