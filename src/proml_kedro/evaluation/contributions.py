"""What inputs add to margins: their mean size, and which way larger values push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from proml_kedro.evaluation.rates import Array, Ints, means_of
from proml_kedro.models.component import Array as AnyArray
from proml_kedro.models.component import Explanation

MOST_ROWS = 2000
"""How many rows are explained: TreeSHAP costs thousands of times what a score does."""


@dataclass(frozen=True)
class Contribution:
    """What one input adds to the margin over some rows.

    Attributes:
        mean: Mean of the absolute contribution.
        low: Lower end of its interval.
        high: Upper end.
        direction: Spearman's correlation of contribution and value; NaN for categories, vectors and constants.
    """

    mean: float
    low: float
    high: float
    direction: float

    @property
    def in_words(self) -> str:
        """Which way larger values push; empty where no one way is."""
        if not abs(self.direction) > 0.3:
            return ""
        return "larger values push up" if self.direction > 0 else "larger values push down"


def contributions_of(
    found: Explanation, columns: Mapping[str, AnyArray], clusters: Ints, confidence: float
) -> dict[str, Contribution]:
    """Sum up the contributions of n rows, the largest first.

    Args:
        found: The contributions.
        columns: Inputs by name, n rows each; those that are not there have no direction.
        clusters: The cluster of each row, from 0, shape (n,).
        confidence: Of the intervals.
    """
    everyone = np.zeros(len(clusters), np.int64)
    result = {}
    for name, values in found.contributions.items():
        size = means_of(np.abs(values), everyone, 1, clusters, confidence)
        way = _spearman(columns[name], values) if name in columns else float("nan")
        result[name] = Contribution(float(size.mean[0]), float(size.low[0]), float(size.high[0]), way)
    return dict(sorted(result.items(), key=lambda one: -one[1].mean))


def _spearman(values: AnyArray, contribution: Array) -> float:
    from scipy import stats

    if values.dtype == object or values.ndim > 1:
        return float("nan")
    known = np.isfinite(values)
    x, y = values[known], contribution[known]
    if len(x) < 3 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    return float(stats.spearmanr(x, y).statistic)
