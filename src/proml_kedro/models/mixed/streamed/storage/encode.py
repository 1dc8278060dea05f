"""What is stored of a row: its numbers, standardised, in the form that its loss needs (see :mod:`.forms`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.kernels.compile import lanes_of
from proml_kedro.models.mixed.streamed.storage.row_format import LINEAR, LOGISTIC, POISSON, WEIGHTED, width_of

_SLICE = 1 << 14  # rows that stay in the cache from one operation to the next

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Slopes:
    """What becomes of the numbers of a row.

    Attributes:
        columns: int64 of shape (d,): for each slope its column among the numbers, -1 for the intercept.
        means: float64 of shape (d,): a missing value takes its place.
        scales: float64 of shape (d,): what standardises the distance from the mean.
        form: In which rows are stored, see :mod:`.forms`.
        weighted: Whether the last column is a weight; the label stands before it.
        unit: Mean and deviation that a label of the linear loss is measured by.
    """

    columns: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    form: int = LOGISTIC
    weighted: bool = False
    unit: tuple[float, float] = (0.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers stored of a row, and lanes."""
        return width_of(self.form, len(self.columns)), lanes_of(len(self.columns))

    def weights(self, numbers: Floats) -> Floats | None:
        """Of each row; None where there are none."""
        return numbers[:, -1] if self.weighted else None

    def stored(self, numbers: Floats) -> Floats:
        """What is stored of rows, see :mod:`.forms`; shape (n, width).

        What is missing counts as the mean, and as no offset.
        """
        stored = np.empty((len(numbers), self.shape[0]), np.float32)
        for first in range(0, len(numbers), _SLICE):
            here = slice(first, first + _SLICE)
            self._store(numbers[here], stored[here])
        return stored

    def _store(self, numbers: Floats, stored: Floats) -> None:
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
    """The values, zero where they are not finite; in their place where all are."""
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))
