"""Newton step with a Laplace prior (elastic net): the sum of rate times absolute value is added to the objective."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

Floats = npt.NDArray[np.float64]

_MOST_ROUNDS = 20  # of holding coefficients that would cross zero


class Solve(Protocol):
    """Solver of the Newton equations for the free columns; the others keep their values in ``start``."""

    def __call__(
        self, right: Floats, accuracy: float, start: Floats | None = None, free: npt.NDArray[np.bool_] | None = None
    ) -> Floats:
        """Solve for the step, shape (width,)."""


def sparse_step(solve: Solve, gradient: Floats, x: Floats, rates: Array, accuracy: float) -> tuple[Floats, float]:
    """Take a Newton step within the orthant of the coefficients, by an active-set method.

    Within an orthant the absolute values are linear, so that the step solves linear equations. A coefficient that is
    zero stays zero unless its gradient exceeds its rate. A coefficient that the step would take across zero is held at
    zero, and the others are solved for again. Andrew and Gao (2007) move within one orthant at a time in the same way.

    Args:
        solve: Solver of the Newton equations.
        gradient: Gradient of the log likelihood and the normal priors after elimination, shape (width,).
        x: Coefficients, shape (width,).
        rates: Rate of the Laplace prior of each coefficient, shape (width,).
        accuracy: Factor by which the solver reduces the residual.

    Returns:
        Step, shape (width,), and what it adds to the sum of rates times absolute values.
    """
    side = np.where(x != 0, np.sign(x), np.where(np.abs(gradient) > rates, np.sign(gradient), 0.0))
    side[rates == 0] = 0.0
    free = (rates == 0) | (side != 0)
    right = gradient - rates * side
    step = np.zeros_like(x)
    for _ in range(_MOST_ROUNDS):
        step = solve(right, accuracy, step, free)
        crossing = free & (side != 0) & ((x + step) * side < 0)
        if not crossing.any():
            break
        free &= ~crossing
        step = np.where(free, 0.0, np.where(crossing, -x, step))
    step = np.where((side != 0) & ((x + step) * side < 0), -x, step)
    return step, float(rates @ (np.abs(x + step) - np.abs(x)))
