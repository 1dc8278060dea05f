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
    """Sort rows by group, as XGBoost requires it; rows of weight 0 are omitted, or others would be compared with them.

    Raises:
        ValueError: There are no groups.
    """
    if examples.group is None:
        raise ValueError("an order is learned within groups, and the examples have none")
    order = np.argsort(examples.group, kind="stable")
    if examples.weight is not None and examples.weight.any():
        order = order[examples.weight[order] > 0]
    return examples.take(order)


def weight_of_groups(examples: Examples) -> npt.NDArray[np.float64] | None:
    """Mean weight of each group, for rows in the order of :func:`by_group`; None when all count 1."""
    if examples.weight is None or examples.group is None:
        return None
    _, codes = np.unique(examples.group, return_inverse=True)
    return np.asarray(np.bincount(codes, examples.weight) / np.bincount(codes), np.float64)


def _mean_and_deviation(values: Array, weight: Array) -> tuple[float, float]:
    mean = float(np.average(values, weights=weight))
    return mean, float(np.sqrt(np.average(np.square(values - mean), weights=weight))) or 1.0


@dataclass(frozen=True)
class Calibration:
    """The log-odds that a margin stands for, ``slope * margin + offset``."""

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, margin: Array, label: Array, weight: Array | None = None) -> Calibration:
        """Fit a logistic regression on the margin alone (Platt, 1999), by Newton's method.

        Args:
            margin: Shape (n,).
            label: 0 or 1, shape (n,); with one class only, nothing can be learned.
            weight: How much each row counts, shape (n,): 2 is the row twice. All the same when left out.
        """
        counts = np.ones(len(label)) if weight is None or not weight.any() else weight.astype(np.float64)
        rate = float(np.average(label, weights=counts))
        if not 0 < rate < 1:
            return cls()
        middle, scale = _mean_and_deviation(margin, counts)
        design = np.stack([(margin - middle) / scale, np.ones(len(margin))], axis=1).astype(np.float64)
        found = np.array([0.0, np.log(rate / (1 - rate))])
        for _ in range(_STEPS):
            probability = sigmoid(design @ found)
            gradient = design.T @ (counts * (label - probability)) - _RIDGE * found
            curvature = (design * (counts * probability * (1 - probability))[:, None]).T @ design + _RIDGE * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            found = found + step / max(1.0, float(np.abs(step).max()) / 2)  # no step of more than two
            if np.abs(step).max() < 1e-8:
                break
        return cls(float(found[0] / scale), float(found[1] - found[0] * middle / scale))

    def probability(self, margin: Array) -> npt.NDArray[np.float64]:
        """Compute the probability of each margin; float64 of shape (n,)."""
        return sigmoid(self.slope * margin.astype(np.float64) + self.offset)
