"""The order that a model gives rows within their groups, ready to be measured again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.groups import Ints, RankedGroups
from proml_kedro.evaluation.metric import find_ranking_metric

Array = npt.NDArray[np.float64]


class Rankings(RankedGroups):
    """Ranked groups of one model, to be measured under many weightings of the groups.

    Every figure is computed within each group and then averaged, each group counting the same.
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike, group: Ints, seed: int = 0) -> None:
        super().__init__(label, score, group, seed)
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


def _mean(values: Array, weight: Array) -> float:
    defined = np.isfinite(values)
    total = weight[defined].sum()
    return float((values[defined] * weight[defined]).sum() / total) if total else float("nan")
