"""Rows with the cluster that each belongs to: what is sure about them is counted in clusters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClusteredRows:
    """Rows in ascending order of their score.

    Attributes:
        label: What happened, shape (n,).
        score: What was predicted, shape (n,); probabilities of classes, shape (n, classes), are in no order.
        weight: Not negative, shape (n,).
        cluster: The cluster of each row, numbered from 0, shape (n,).
    """

    label: Array
    score: Array
    weight: Array
    cluster: Ints

    @cached_property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max()) + 1

    def by_class(self) -> list[ClusteredRows]:
        """Take each class apart: whether it happened, by its probability; these rows alone where there are none."""
        if self.score.ndim == 1:
            return [self]
        orders = np.argsort(self.score, axis=0, kind="stable").T
        return [
            ClusteredRows((self.label == number)[rows] * 1.0, score[rows], self.weight[rows], self.cluster[rows])
            for number, (rows, score) in enumerate(zip(orders, self.score.T, strict=True))
        ]

    def sums(self, values: npt.NDArray[Any]) -> Array:
        """Sum values of the rows over each cluster; shape (clusters,)."""
        return np.bincount(self.cluster, values, self.clusters).astype(np.float64)

    @cached_property
    def masses(self) -> Array:
        """Weight of each cluster, shape (clusters,)."""
        return self.sums(self.weight)


def without_each(sums: Array) -> Array:
    """Subtract each cluster's sum from that of all; shape (clusters,)."""
    return np.asarray(sums.sum() - sums)


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Array:
    """Divide; NaN where the denominator is not positive."""
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def effective_number(masses: Array) -> float:
    """Count clusters by their weight: (Σ n)² / Σ n² (Kish 1965, "Survey Sampling").

    >>> effective_number(np.array([2.0, 2.0, 2.0])), round(effective_number(np.array([98.0, 1.0, 1.0])), 2)
    (3.0, 1.04)
    """
    square = float((masses**2).sum())
    return float(masses.sum()) ** 2 / square if square else 0.0
