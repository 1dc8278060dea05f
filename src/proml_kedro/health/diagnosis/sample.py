"""Rows as cells: how many there are of each combination of values and period, and the sum of what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


_PRIOR = 20.0
"""Degrees of freedom that chance alone counts as much as."""


@dataclass(frozen=True)
class Sample:
    """Cells of rows.

    Attributes:
        codes: Number of each cell's value in each dimension, shape (dimensions, cells).
        sizes: Number of values of each dimension.
        periods: Number of each cell's period, shape (cells,).
        rows: Number of rows, shape (cells,).
        totals: Sum of what is measured, shape (cells,).
        squares: Sum of its squares, shape (cells,).
    """

    codes: Ints
    sizes: Sequence[int]
    periods: Ints
    rows: Array
    totals: Array
    squares: Array

    def of(self, cells: Mask) -> Sample:
        """Take some cells."""
        rows, totals, squares = (part[cells] for part in (self.rows, self.totals, self.squares))
        return Sample(self.codes[:, cells], self.sizes, self.periods[cells], rows, totals, squares)

    @property
    def figure(self) -> float:
        """The mean of what is measured."""
        return float(self.totals.sum() / self.rows.sum()) if self.rows.sum() else 0.0


def overdispersion(before: Sample, is_rate: bool) -> float:
    """Compute how many times as much figures of values change from period to period as chance alone would make them.

    Pearson's statistic by its degrees of freedom, of each dimension's values by period, after what values and periods
    have of their own; of all dimensions together, pulled towards 1 as by 20 degrees more, and at least 1. Of fewer than
    four periods nothing is known.

    Args:
        before: Cells of earlier periods.
        is_rate: Whether values are 0 and 1; otherwise numbers of rows are compared.
    """
    _, period = np.unique(before.periods, return_inverse=True)
    count = int(period.max()) + 1 if len(period) else 0
    if count < 4:
        return 1.0
    apart, freedom = _PRIOR, _PRIOR
    for code, size in zip(before.codes, before.sizes, strict=True):
        shape = (size, count)
        place = code * count + period
        rows = np.bincount(place, before.rows, size * count).reshape(shape)
        seen = np.bincount(place, before.totals, size * count).reshape(shape) if is_rate else rows
        all_, of_period = seen.sum(), seen.sum(axis=0)
        if is_rate:
            of_value = seen.sum(axis=1) / np.maximum(rows.sum(axis=1), 1)
            usual = (rows * of_value[:, None]).sum(axis=0)
            expected = np.clip(rows * of_value[:, None] * (of_period / np.maximum(usual, 1e-9)), 0, rows)
            variance = expected * (1 - expected / np.maximum(rows, 1))
        else:
            expected = np.outer(seen.sum(axis=1), of_period) / max(all_, 1)
            variance = expected
        enough = (expected >= 2) & (variance > 1)
        degrees = enough.sum() - enough.any(axis=1).sum() - enough.any(axis=0).sum() + 1
        if degrees >= count:
            apart += float(((seen - expected)[enough] ** 2 / variance[enough]).sum())
            freedom += float(degrees)
    return max(apart / freedom, 1.0)
