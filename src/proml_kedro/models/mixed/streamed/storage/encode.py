"""Encoding of rows: numbers are standardised and stored in the format of the loss (:mod:`.row_format`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.row_format import LINEAR, LOGISTIC, POISSON, WEIGHTED, lanes_of, width_of

_SLICE = 1 << 14  # rows encoded at a time, so that they stay in the cache

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RowEncoder:
    """Encoder of rows.

    Attributes:
        columns: int64 of shape (d,): column of each slope among the numbers, -1 for the intercept.
        means: float64 of shape (d,): mean of each slope, which replaces missing values.
        scales: float64 of shape (d,): one over the standard deviation of each slope.
        form: Format in which rows are stored, see :mod:`.row_format`.
        weighted: Whether the last column is a weight; the label comes before it.
        unit: Mean and deviation by which a label of the linear loss is standardised.
    """

    columns: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    form: int = LOGISTIC
    weighted: bool = False
    unit: tuple[float, float] = (0.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers stored of a row, and lanes of a block."""
        return width_of(self.form, len(self.columns)), lanes_of(len(self.columns))

    def weights(self, numbers: Floats) -> Floats | None:
        """Take the weight of each row, shape (n,); None where there are none."""
        return numbers[:, -1] if self.weighted else None

    def encode(self, numbers: Floats) -> Floats:
        """Encode rows; shape (n, width).

        A missing number counts as the mean, a missing offset as 0.

        Args:
            numbers: Offset, numbers, label, and weight if there is one; shape (n, k).
        """
        stored = np.empty((len(numbers), self.shape[0]), np.float32)
        for first in range(0, len(numbers), _SLICE):
            here = slice(first, first + _SLICE)
            self._encode(numbers[here], stored[here])
        return stored

    def _encode(self, numbers: Floats, stored: Floats) -> None:
        label = numbers[:, -2 if self.weighted else -1]
        weight = numbers[:, -1] if self.weighted else np.ones(len(numbers), np.float32)
        offset, times = _finite(numbers[:, 0]), np.ones(len(numbers), np.float32)
        if self.form == LINEAR:
            np.sqrt(weight, out=times)
            offset = (offset - (label.astype(np.float64) - self.unit[0])) / self.unit[1]
        elif self.form == POISSON:
            offset = offset + np.log(weight)
            np.multiply(weight, label, out=stored[:, -1])
        else:
            times = 2 * label - 1
            if self.form == WEIGHTED:
                stored[:, -1] = weight
        np.multiply(times, offset, out=stored[:, 0], casting="same_kind")
        for a, column in enumerate(self.columns):
            if column < 0:
                stored[:, 1 + a] = times
            else:
                z = _finite((numbers[:, column] - self.means[a]) * self.scales[a])
                np.multiply(times, z, out=stored[:, 1 + a], casting="same_kind")


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Replace values that are not finite by zero; without a copy where all are finite."""
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))
