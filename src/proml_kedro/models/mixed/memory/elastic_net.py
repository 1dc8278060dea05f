"""The step of coefficients with a Laplace prior: sum of rate times absolute value is added to what is minimised."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

Floats = npt.NDArray[np.float64]

_MOST_ROUNDS = 20  # of holding what would cross zero


class Solve(Protocol):
    """Solves the Newton equations for the columns that are free, the others being held where ``start`` has them."""

    def __call__(
        self, right: Floats, accuracy: float, start: Floats | None = None, free: npt.NDArray[np.bool_] | None = None
    ) -> Floats:
        """The step, shape (width,)."""


def sparse_step(solve: Solve, gradient: Floats, x: Floats, rates: Array, accuracy: float) -> tuple[Floats, float]:
    """A Newton step on the side of zero on which each coefficient is.

    There the absolute values are linear, so the step solves linear equations. A coefficient that is zero stays so
    unless its gradient exceeds its rate; one that the step would take across zero is held at zero, and the others
    are solved for again (an active-set method; Andrew and Gao, 2007, move one orthant at a time likewise).

    Args:
        solve: The Newton equations.
        gradient: Of the log likelihood and the normal priors, what is eliminated taken out; shape (width,).
        x: The coefficients, shape (width,).
        rates: Shape (width,).
        accuracy: Of solving.

    Returns:
        The step, and what it adds to the sum of the rates times the absolute values.
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
