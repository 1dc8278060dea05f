"""The scores of one model, ready to be measured again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.clustered import Array, ClusteredRows, Ints
from proml_kedro.evaluation.metric import find_metric


class Predictions:
    """Scores of one model, sorted once, to be measured under many weightings of the rows.

    Args:
        label: What happened, shape (n,).
        score: What was predicted, shape (n,); probabilities of classes, shape (n, classes), are not sorted.
        clusters: The cluster of each row, numbered from 0 without gaps, shape (n,); each row is one when None.
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike, clusters: Ints | None = None) -> None:
        score = np.asarray(score, np.float64)
        self._order = np.argsort(score, kind="stable") if score.ndim == 1 else np.arange(len(score))
        clusters = np.arange(len(score)) if clusters is None else clusters
        label = np.asarray(label, np.float64)[self._order]
        self._rows = ClusteredRows(label, score[self._order], np.ones(len(score)), clusters[self._order])

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Compute each metric, by name.

        Args:
            names: Which metrics.
            weight: Of the rows in their own order, shape (n,); equal when None.

        Raises:
            UnknownNameError: No metric has one of the names.

        >>> Predictions([0, 0, 1], [0.1, 0.4, 0.8]).measure(["auc"])
        {'auc': 1.0}
        """
        rows = self._rows if weight is None else self._weighted(weight[self._order])
        found = {name: find_metric(name) for name in names}
        return {name: metric.shown(metric.estimate(rows)) for name, metric in found.items()}

    def masses(self, name: str) -> Array:
        """Count the rows of each cluster, shape (clusters,)."""
        return self._rows.masses

    def effective_clusters(self, name: str) -> float:
        """Count clusters by their weight for a metric."""
        return find_metric(name).effective_clusters(self._rows)

    def estimate(self, name: str, times: Array | None = None) -> float:
        """Estimate a metric on the scale of comparisons.

        Args:
            name: Which metric.
            times: How often each cluster counts, shape (clusters,); once when None.
        """
        rows = self._rows if times is None else self._weighted(times[self._rows.cluster])
        return find_metric(name).estimate(rows)

    def without_each(self, name: str) -> Array | None:
        """Estimate a metric without each cluster, shape (clusters,); None where only computing it anew tells."""
        return find_metric(name).without_each(self._rows)

    def excess(self, name: str, other: Any) -> float:
        """Estimate by how much a jackknife makes the variance of the difference from another model too large."""
        return find_metric(name).excess(self._rows, other._rows if isinstance(other, Predictions) else None)

    def shown(self, name: str, estimate: float) -> float:
        """Convert an estimate of a metric to the figure that people read."""
        return find_metric(name).shown(estimate)

    def _weighted(self, weight: Array) -> ClusteredRows:
        return ClusteredRows(self._rows.label, self._rows.score, weight, self._rows.cluster)
