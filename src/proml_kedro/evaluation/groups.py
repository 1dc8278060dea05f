"""Rows in the order that a model gives them within their groups.

Every figure is computed within each group and then averaged, each group counting the same. Rows with equal scores are
put in random order, by a fixed seed: any other order, such as that of the file, may know something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.metric import find_ranking_metric

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class RankedGroups:
    """Rows sorted by group and, within it, by descending score; to be measured under many weightings of the groups.

    Args:
        label: 0 or 1, shape (n,).
        score: Shape (n,).
        group: The group of each row, numbered from 0 without gaps, shape (n,).
        seed: Of the order of equal scores.

    Attributes:
        positive: Which rows are positive, sorted, shape (n,).
        score: Of the sorted rows.
        group: Of the sorted rows, ascending.
        place: Of the sorted rows in their group, from 1.
        sizes: Rows of each group, shape (groups,).
        positives: Positive rows of each group, shape (groups,).
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike, group: Ints, seed: int = 0) -> None:
        score = np.asarray(score, np.float64)
        shuffled = np.random.default_rng(seed).permutation(len(score))
        descending = shuffled[np.argsort(-score[shuffled], kind="stable")]
        order = descending[np.argsort(group[descending], kind="stable")]
        self.positive = np.asarray(label)[order] > 0
        self.score = score[order]
        self.group = group[order]
        self.sizes = np.bincount(group)
        self.place = np.arange(1, len(score) + 1) - self.each(np.cumsum(self.sizes) - self.sizes)
        self.positives = self.sum(self.positive)
        self._known: dict[str, Array] = {}

    def each(self, of_groups: AnyArray) -> AnyArray:
        """Repeat values of the groups for each of their rows; shape (n,)."""
        return np.repeat(of_groups, self.sizes)

    def sum(self, of_rows: AnyArray) -> Array:
        """Sum values over the rows of each group; shape (groups,)."""
        return np.bincount(self.group, of_rows.astype(np.float64), len(self.sizes)).astype(np.float64)

    def of_groups(self, metric: str) -> Array:
        """Compute a metric of each group, shape (groups,); NaN where it is not defined.

        Args:
            metric: ``ndcg@10``, ``mrr`` and so on.
        """
        if metric not in self._known:
            found, k = find_ranking_metric(metric)
            self._known[metric] = found.compute(self, k)
        return self._known[metric]

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Compute the mean of each metric over the groups for which it is defined; NaN when there is none.

        Args:
            names: Which metrics.
            weight: Of the groups, shape (groups,); equal when None.
        """
        weight = np.ones(len(self.sizes)) if weight is None else weight
        return {name: _mean(self.of_groups(name), weight) for name in names}


def _mean(values: Array, weight: Array) -> float:
    defined = np.isfinite(values)
    total = weight[defined].sum()
    return float((values[defined] * weight[defined]).sum() / total) if total else float("nan")
