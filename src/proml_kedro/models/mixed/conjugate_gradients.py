"""Solver of large symmetric systems, known by their products alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_ITERATIONS = 200  # with a good preconditioner far fewer are needed


def conjugate_gradients(
    product: Callable[[Floats], Floats], precondition: Callable[[Floats], Floats], right: Floats, accuracy: float
) -> tuple[Floats, int]:
    """Solve A x = right for positive definite A (Hestenes and Stiefel, 1952).

    Args:
        product: Multiplies a vector by A.
        precondition: Multiplies a vector by an approximate inverse of A.
        right: Right side, shape (n,).
        accuracy: Factor by which the residual falls in the norm of the preconditioner.

    Returns:
        The solution, shape (n,), and the number of products.
    """
    x, residual = np.zeros_like(right), right.copy()
    solved = precondition(residual)
    direction, size = solved, float(residual @ solved)
    goal = accuracy**2 * size
    count = 0
    while size > goal and count < _MOST_ITERATIONS:
        image = product(direction)
        length = size / float(direction @ image)
        x += length * direction
        residual -= length * image
        solved = precondition(residual)
        before, size = size, float(residual @ solved)
        direction = solved + (size / before) * direction
        count += 1
    return x, count
