"""Trees that learn an order: rows by group, and a probability for margins whose level means nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array, Examples

_STEPS = 50
_RIDGE = 1e-6  # keeps the slope finite when the margin separates the classes


def by_group(examples: Examples) -> Examples:
    """Sort rows by group, as XGBoost requires it; every row of a group has the group's mean weight.

    Raises:
        ValueError: There are no groups.
    """
    if examples.group is None:
        raise ValueError("an order is learned within groups, and the examples have none")
    together = examples.take(np.argsort(examples.group, kind="stable"))
    if together.weight is None or together.group is None:
        return together
    _, codes = np.unique(together.group, return_inverse=True)
    mean = np.bincount(codes, together.weight) / np.bincount(codes)
    return Examples(together.columns, together.label, mean[codes], together.group, together.labels)


def weight_of_groups(examples: Examples) -> npt.NDArray[np.float64] | None:
    """Weight of each group, for rows in the order of :func:`by_group`; None when all count 1."""
    if examples.weight is None or examples.group is None:
        return None
    return examples.weight[np.flatnonzero(np.diff(examples.group, prepend=-1))]


@dataclass(frozen=True)
class Calibration:
    """The log-odds that a margin stands for, ``slope * margin + offset``."""

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, margin: Array, label: Array) -> Calibration:
        """Fit a logistic regression on the margin alone (Platt, 1999), by Newton's method.

        Args:
            margin: Shape (n,).
            label: 0 or 1, shape (n,); with one class only, nothing can be learned.
        """
        if not 0 < label.mean() < 1:
            return cls()
        middle, scale = float(margin.mean()), float(margin.std()) or 1.0
        design = np.stack([(margin - middle) / scale, np.ones(len(margin))], axis=1).astype(np.float64)
        found = np.array([0.0, np.log(label.mean() / (1 - label.mean()))])
        for _ in range(_STEPS):
            probability = sigmoid(design @ found)
            gradient = design.T @ (label - probability) - _RIDGE * found
            curvature = (design * (probability * (1 - probability))[:, None]).T @ design + _RIDGE * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            found = found + step / max(1.0, float(np.abs(step).max()) / 2)  # no step of more than two
            if np.abs(step).max() < 1e-8:
                break
        return cls(float(found[0] / scale), float(found[1] - found[0] * middle / scale))

    def probability(self, margin: Array) -> npt.NDArray[np.float64]:
        """Compute the probability of each margin; float64 of shape (n,)."""
        return sigmoid(self.slope * margin.astype(np.float64) + self.offset)
