"""Unit in which labels are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.spec import Loss


@dataclass(frozen=True)
class LabelUnit:
    """Unit of the labels: with the linear loss standard deviations from their mean, with the others 1.

    Attributes:
        mean: Mean over the training rows.
        deviation: Standard deviation; 1 when all labels are equal.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, label: Array, weight: Array, loss: Loss, centred: bool = True) -> LabelUnit:
        """Measure labels.

        Args:
            label: Shape (n,), finite.
            weight: Shape (n,), positive.
            loss: Only ``linear`` has a unit.
            centred: False when no intercept is estimated that could take up the mean, which is then not removed.
        """
        if loss != "linear":
            return cls()
        label = label.astype(np.float64)
        mean = float(np.average(label, weights=weight))
        deviation = float(np.sqrt(np.average((label - mean) ** 2, weights=weight)))
        constant = deviation <= 1e-14 * abs(mean)  # what is left is rounding
        return cls(mean if centred else 0.0, 1.0 if constant else deviation)

    def remove(self, label: Array) -> npt.NDArray[np.float64]:
        """Express labels in this unit; float64 of the same shape."""
        return np.asarray((label.astype(np.float64) - self.mean) / self.deviation)
