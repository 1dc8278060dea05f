"""Update of the population's mean and of the residual variance, from the sums of a sweep alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.progress import SweepSettings
from proml_kedro.models.mixed.streamed.row_format import LINEAR, triangle

_LARGEST_STEP = 2.0  # of the population's mean, in log-odds or logarithms of a mean
_LEAST_DISPERSION = 1e-6  # where the model fits labels exactly; as a share of their variance


@dataclass(frozen=True)
class SweepSums:
    """Sums of a sweep over entities and rows.

    Attributes:
        entities: Number of entities.
        rows: Number of vectors of rows.
        visited: Number of visits to vectors of rows; each counts as often as it was visited.
        weight: Rows by weight, with the linear loss.
        first: Sum of w, shape (d,).
        moment: Sum of w w', shape (d, d).
        told: Sum of 1 - 1 / H, shape (d, d): information of the rows relative to that of the population.
        deviance: With the linear loss, residual sum of squares over phi, and sum of w'w.
        gradient: Gradient by b of the rows without an entity, shape (d,).
        curvature: Curvature of the same rows, shape (d, d).
        squares: Residual sum of squares of the same rows, with the linear loss.
    """

    entities: int
    rows: int
    visited: int
    weight: float
    first: Array
    moment: Array
    told: Array
    deviance: float
    gradient: Array
    curvature: Array
    squares: float

    @classmethod
    def from_parts(cls, total: Array, d: int) -> SweepSums:
        """Take the sums apart that :meth:`.Sweeps._part_sums` has concatenated.

        Args:
            total: Sum over parts, shape (4 + d + 2 t + 1 + 1 + d + t + 1,) with t = d (d + 1) / 2.
            d: Number of slopes.
        """
        t = triangle(d)
        facts, first, moment, told, deviance, weight, gradient, curvature, squares = np.split(
            total, np.cumsum([4, d, t, t, 1, 1, d, t])
        )
        return cls(
            entities=int(facts[0]),
            rows=int(facts[1]),
            visited=int(facts[2]),
            weight=float(facts[3] + weight[0]),
            first=first,
            moment=symmetric(moment),
            told=symmetric(told),
            deviance=float(deviance[0]),
            gradient=gradient,
            curvature=symmetric(curvature),
            squares=float(squares[0]),
        )


@dataclass(frozen=True)
class MeanStep:
    """Newton step of the fixed effects.

    Attributes:
        change: Shape (d,).
        determined: Number of fixed effects that the data determine; the prior determines the rest.
        errors: Standard errors, shape (d,).
    """

    change: Array
    determined: float
    errors: Array


def mean_step(sums: SweepSums, root: Array, mean: Array, settings: SweepSettings) -> MeanStep:
    """Take one Newton step of the slopes that have a fixed effect, zero for the others.

    Args:
        sums: Sums of the sweep.
        root: Cholesky factor L of the population's covariance, shape (d, d).
        mean: Current mean b, shape (d,).
        settings: Settings of the sweeps.
    """
    d, penalty = len(mean), settings.penalty
    back = np.linalg.inv(root).T
    gradient = back @ sums.first + sums.gradient
    curvature = back @ sums.told @ back.T + sums.curvature
    fixed = np.flatnonzero(np.isfinite(penalty))
    gradient = gradient[fixed] - penalty[fixed] * mean[fixed]
    curvature = curvature[np.ix_(fixed, fixed)] + np.diag(penalty[fixed])
    step = np.zeros(d)
    step[fixed] = np.linalg.solve(curvature, gradient)
    variances = np.zeros(d)
    variances[fixed] = np.diag(np.linalg.inv(curvature))
    determined = len(fixed) - float(variances[fixed] @ penalty[fixed])
    most = math.inf if settings.form == LINEAR else _LARGEST_STEP
    return MeanStep(step * min(1.0, most / max(float(np.abs(step).max()), 1e-9)), determined, np.sqrt(variances))


def next_dispersion(sums: SweepSums, step: MeanStep, dispersion: float) -> float:
    """Compute the residual sum of squares per degree of freedom (restricted maximum likelihood).

    Args:
        sums: Sums of the sweep.
        step: Step of the fixed effects.
        dispersion: Current residual variance.
    """
    determined = step.determined + float(np.trace(sums.told))
    squares = dispersion * (sums.deviance - float(np.trace(sums.moment))) + sums.squares
    return max(squares / max(sums.weight - determined, 1e-3), _LEAST_DISPERSION)


def symmetric(lower: Array) -> Array:
    """Make a symmetric matrix of its lower triangle.

    >>> symmetric(np.array([1.0, 2.0, 3.0])).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    d = math.isqrt(2 * len(lower))
    matrix = np.zeros((d, d))
    matrix[np.tril_indices(d)] = lower
    return matrix + np.tril(matrix, -1).T
