"""Curves of a truth value: what is found and how often it is right, from the highest score down; ties are whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.rates import Array, Ints, Means, by_mass, means_of
from proml_kedro.spec.evaluation import CostsSpec

SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Shares of rows, from the highest score down, that curves have a point for."""


@dataclass(frozen=True)
class Curve:
    """What happens when rows from a score on are taken for positive; arrays of shape (points,).

    Attributes:
        threshold: The lowest score that is taken.
        rows: How many rows are taken.
        precision: Share of positive rows among them.
        recall: Share of all positive rows that is among them.
        fallout: Share of all negative rows that is among them.
        cost: Mean cost of a row, NaN throughout where costs are not known.
        positive_rate: Share of positive rows among all.
    """

    threshold: Array
    rows: Ints
    precision: Means
    recall: Means
    fallout: Means
    cost: Means
    positive_rate: float

    @property
    def lift(self) -> Array:
        """Return how many times as often rows that are taken are positive as rows are, shape (points,)."""
        return self.precision.mean / self.positive_rate


def curve_of(label: Array, score: Array, clusters: Ints, costs: CostsSpec | None, confidence: float) -> Curve:
    """Compute the curve of scores of a truth value.

    Args:
        label: 0 or 1, shape (n,).
        score: Shape (n,).
        clusters: The cluster of each row, from 0, shape (n,).
        costs: What mistakes cost.
        confidence: Of the intervals.
    """
    descending = np.sort(score)[::-1]
    places = np.unique(np.ceil(np.array(SHARES) * len(score)).astype(np.int64)) - 1
    thresholds = np.unique(descending[np.maximum(places, 0)])[::-1]
    taken = [score >= one for one in thresholds]
    each = [
        (
            means_of(label, np.where(one, 0, -1), 1, clusters, confidence),
            means_of(one, np.where(label == 1, 0, -1), 1, clusters, confidence),
            means_of(one, np.where(label == 0, 0, -1), 1, clusters, confidence),
            _cost(label, one, clusters, costs, confidence),
        )
        for one in taken
    ]
    joined = [_joined([point[at] for point in each]) for at in range(4)]
    rows = np.array([int(one.sum()) for one in taken], np.int64)
    return Curve(thresholds, rows, joined[0], joined[1], joined[2], joined[3], float(label.mean()))


def _cost(label: Array, taken: npt.NDArray[np.bool_], clusters: Ints, costs: CostsSpec | None, level: float) -> Means:
    nothing = np.full(1, np.nan)
    if costs is None:
        return Means(np.array([len(label)]), nothing, nothing, nothing)
    of_row = np.where(taken, (label == 0) * costs.false_positive, (label == 1) * costs.false_negative)
    return means_of(of_row.astype(np.float64), np.zeros(len(label), np.int64), 1, clusters, level)


def _joined(points: list[Means]) -> Means:
    rows = np.concatenate([one.rows for one in points])
    mean, low, high = (np.concatenate([getattr(one, name) for one in points]) for name in ("mean", "low", "high"))
    return Means(rows, mean, low, high)


@dataclass(frozen=True)
class Calibration:
    """What was said and what happened, over bins of about equally many rows; arrays of shape (bins,).

    Attributes:
        said: Mean score.
        seen: Mean label.
    """

    said: Array
    seen: Means


def calibration_of(label: Array, score: Array, clusters: Ints, confidence: float, bins: int = 15) -> Calibration:
    """Compare scores with labels in bins; rows of equal scores are in one."""
    part = by_mass(score, bins)
    count = int(part.max()) + 1
    said = np.bincount(part, score, count) / np.bincount(part, minlength=count)
    return Calibration(said, means_of(label, part, count, clusters, confidence))
