"""Rows in the order that a model gives them within their groups.

Rows with equal scores are put in random order, by a fixed seed: any other order, such as that of the file, may know
something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grades:
    """What labels are worth where more than one sort of row is positive.

    Attributes:
        exponential: Whether a label gains 2^label − 1 (Burges et al. 2005) rather than itself.
        relevant: Smallest label of a positive row; every one above 0 when None.
    """

    exponential: bool = False
    relevant: float | None = None

    def gain(self, label: Array) -> Array:
        """Compute what each row gains, shape (n,)."""
        return np.exp2(label) - 1 if self.exponential else label

    def positive(self, label: Array) -> npt.NDArray[np.bool_]:
        """Tell which rows are positive, shape (n,)."""
        return np.asarray(label > 0 if self.relevant is None else label >= self.relevant)


TRUTH = Grades()
"""What labels are worth that are 0 or 1."""


class RankedGroups:
    """Rows sorted by group and, within it, by descending score.

    Args:
        label: 0 or 1, or a grade, which is not negative, shape (n,).
        score: Shape (n,).
        group: The group of each row, numbered from 0 without gaps, shape (n,).
        seed: Of the order of equal scores.
        grades: What labels are worth.

    Attributes:
        gain: What each row gains, sorted, shape (n,): 1 and 0 for a positive and another one unless labels are grades.
        positive: Which rows are positive, sorted, shape (n,).
        score: Of the sorted rows.
        group: Of the sorted rows, ascending.
        place: Of the sorted rows in their group, from 1.
        sizes: Rows of each group, shape (groups,).
        positives: Positive rows of each group, shape (groups,).
    """

    def __init__(
        self, label: npt.ArrayLike, score: npt.ArrayLike, group: Ints, seed: int = 0, grades: Grades = TRUTH
    ) -> None:
        score = np.asarray(score, np.float64)
        shuffled = np.random.default_rng(seed).permutation(len(score))
        descending = shuffled[np.argsort(-score[shuffled], kind="stable")]
        order = descending[np.argsort(group[descending], kind="stable")]
        labels = np.asarray(label, np.float64)[order]
        self.gain = grades.gain(labels)
        self.positive = grades.positive(labels)
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
