"""Inverses of curvature matrices, and what becomes of them when some coefficients are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

Floats = npt.NDArray[np.float64]

_SMALL = 64  # columns up to which a matrix is inverted anew, which is the more exact way


def inverse(matrix: Array) -> Floats:
    """Invert a symmetric positive definite matrix by its Cholesky factor, a third of the work of a general inverse.

    A matrix that is not positive definite by rounding is inverted as a general one.
    """
    from scipy.linalg.lapack import dpotrf, dpotri

    if not len(matrix):
        return np.zeros((0, 0))
    factor, failed = dpotrf(matrix, lower=0)
    if not failed:
        upper, failed = dpotri(factor, lower=0, overwrite_c=1)
    if failed:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    upper = np.triu(upper)
    return np.asarray(upper + np.triu(upper, 1).T, np.float64)


def given(curvature: Floats, covariance: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    """Compute the covariance of coefficients given those that are held, zero for these; shape (n, n).

    Args:
        curvature: Inverse of the covariance, shape (n, n).
        covariance: Covariance of all coefficients, shape (n, n).
        held: Coefficients that are known, shape (n,).
    """
    free = ~held
    if not held.any():
        return covariance
    found = np.zeros_like(covariance)
    if len(held) <= _SMALL or 2 * np.count_nonzero(held) > len(held):
        found[np.ix_(free, free)] = inverse(curvature[np.ix_(free, free)])
        return found
    across = covariance[np.ix_(free, held)]
    known = across @ inverse(covariance[np.ix_(held, held)]) @ across.T
    found[np.ix_(free, free)] = covariance[np.ix_(free, free)] - known
    return found


def trace_of_product(matrix: Floats, blocks: Sequence[tuple[slice, Array]]) -> float:
    """Compute the trace of a matrix times a block diagonal one.

    Args:
        matrix: Shape (n, n).
        blocks: Columns of each run of equal blocks, and the block.
    """
    total = 0.0
    for columns, block in blocks:
        d = len(block)
        for a in range(d):
            for b in range(d):
                at = np.arange(columns.start, columns.stop, d)
                total += float(block[b, a] * matrix[at + a, at + b].sum())
    return total
