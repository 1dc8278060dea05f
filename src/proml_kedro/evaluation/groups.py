"""Rows in the order that a model gives them within their groups.

Rows with equal scores are put in random order, by a fixed seed: any other order, such as that of the file, may know
something.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class RankedGroups:
    """Rows sorted by group and, within it, by descending score.

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

    def each(self, of_groups: AnyArray) -> AnyArray:
        """Repeat values of the groups for each of their rows; shape (n,)."""
        return np.repeat(of_groups, self.sizes)

    def sum(self, of_rows: AnyArray) -> Array:
        """Sum values over the rows of each group; shape (groups,)."""
        return np.bincount(self.group, of_rows.astype(np.float64), len(self.sizes)).astype(np.float64)
