"""The order that a model gives rows within their groups, ready to be measured again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.clustered import effective_number, ratio, without_each
from proml_kedro.evaluation.groups import TRUTH, Grades, Ints, RankedGroups
from proml_kedro.evaluation.metric import find_ranking_metric

Array = npt.NDArray[np.float64]


class Rankings(RankedGroups):
    """Ranked groups of one model, to be measured under many weightings of the groups.

    Every figure is computed within each group and then averaged, each group counting the same.

    Args:
        label: 0 or 1, or a grade, which is not negative, shape (n,).
        score: Shape (n,).
        group: The group of each row, numbered from 0 without gaps, shape (n,).
        seed: Of the order of equal scores.
        clusters: The cluster of each group, numbered from 0 without gaps, shape (groups,); each group is one when None.
        grades: What labels are worth.
    """

    def __init__(
        self,
        label: npt.ArrayLike,
        score: npt.ArrayLike,
        group: Ints,
        seed: int = 0,
        clusters: Ints | None = None,
        grades: Grades = TRUTH,
    ) -> None:
        super().__init__(label, score, group, seed, grades)
        self._clusters = np.arange(len(self.sizes)) if clusters is None else clusters
        self._known: dict[str, Array] = {}

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

    def masses(self, name: str) -> Array:
        """Count the groups of each cluster for which a metric is defined, shape (clusters,)."""
        return self._sums(np.isfinite(self.of_groups(name)).astype(np.float64))

    def effective_clusters(self, name: str) -> float:
        """Count clusters by their number of groups for which a metric is defined."""
        return effective_number(self.masses(name))

    def estimate(self, name: str, times: Array | None = None) -> float:
        """Compute a metric, each cluster counting as often as ``times`` of shape (clusters,) says; once when None."""
        return self.measure([name], None if times is None else times[self._clusters])[name]

    def without_each(self, name: str) -> Array:
        """Compute a metric without each cluster, shape (clusters,)."""
        sums = self._sums(np.nan_to_num(self.of_groups(name), nan=0.0))
        return ratio(without_each(sums), without_each(self.masses(name)))

    def excess(self, name: str, other: Any) -> float:
        """Return 0: means have as much variance as a jackknife says."""
        return 0.0

    def shown(self, name: str, estimate: float) -> float:
        """Return a metric as people read it: as it is."""
        return estimate

    def _sums(self, of_groups: Array) -> Array:
        return np.bincount(self._clusters, of_groups, int(self._clusters.max()) + 1).astype(np.float64)


def _mean(values: Array, weight: Array) -> float:
    defined = np.isfinite(values)
    total = weight[defined].sum()
    return float((values[defined] * weight[defined]).sum() / total) if total else float("nan")
