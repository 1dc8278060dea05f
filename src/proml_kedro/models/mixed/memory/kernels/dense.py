"""Compiled passes for the columns that are solved densely, with the notation of :mod:`.rows`.

f_i are the entries of a row in these columns: its first ``entries`` entries.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from proml_kedro.models.mixed.memory.kernels.rows import compiled


@compiled
def add_outer_products(first, last, starts, index, value, entries, weight, information) -> None:
    """Add half of sum w_i f_i f_i': the diagonal, and the sum of two mirrored entries in one of them."""
    for i in range(starts[first], starts[last]):
        for j in range(entries):
            scaled = weight[i] * value[i, j]
            if scaled != 0.0:
                for m in range(j + 1):
                    information[index[i, j], index[i, m]] += scaled * value[i, m]


@compiled
def _gather(first, last, z, index, value, entries, weight, place, touched, cross) -> int:
    """Compute C_e = sum w_i z_i f_i' over the rows of one entity, without its columns of zeros.

    Column c is column ``place[c]`` of ``cross``; ``touched`` lists the columns in that order. The caller sets their
    places back to -1.

    Returns:
        Number of columns.
    """
    count = 0
    for i in range(first, last):
        for j in range(entries):
            scaled = weight[i] * value[i, j]
            if scaled != 0.0:
                column = index[i, j]
                at = place[column]
                if at < 0:
                    at = count
                    place[column] = at
                    touched[at] = column
                    cross[:, at] = 0.0
                    count += 1
                for a in range(z.shape[1]):
                    cross[a, at] += scaled * z[i, a]
    return count


@compiled
def subtract_eliminated(first, last, starts, z, index, value, entries, weight, inverse, information) -> None:
    """Subtract half of sum_e C_e' V_e C_e, as :func:`add_outer_products` adds halves, with C_e of :func:`_gather`."""
    d = z.shape[1]
    width = information.shape[0]
    cross = np.empty((d, width))
    touched = np.empty(width, np.int64)
    place = np.full(width, -1)
    for e in range(first, last):
        count = _gather(starts[e], starts[e + 1], z, index, value, entries, weight, place, touched, cross)
        for s in range(count):
            row = touched[s]
            place[row] = -1
            for a in range(d):
                solved = 0.0
                for b in range(d):
                    solved += inverse[e, a, b] * cross[b, s]
                for t in range(s + 1):
                    information[row, touched[t]] -= solved * cross[a, t]


@compiled
def add_uncertainty_of_rest(  # noqa: C901
    first, last, starts, z, index, value, entries, weight, inverse, dense, covariance
) -> None:
    """Compute each entity's covariance, uncertainty of x included: V_e + V_e C_e D C_e' V_e, C_e as in :func:`_gather`.

    D, shape (dense, dense), is the posterior covariance of the dense columns.
    """
    d = z.shape[1]
    width = dense.shape[0]
    cross = np.empty((d, width))
    touched = np.empty(width, np.int64)
    place = np.full(width, -1)
    middle = np.empty((d, d))
    half = np.empty((d, d))
    for e in range(first, last):
        count = _gather(starts[e], starts[e + 1], z, index, value, entries, weight, place, touched, cross)
        middle[:, :] = 0.0
        for s in range(count):
            row = touched[s]
            place[row] = -1
            for b in range(d):
                total = 0.5 * dense[row, row] * cross[b, s]
                for t in range(s):  # D is symmetric: one half of the sum, and then its transpose
                    total += dense[row, touched[t]] * cross[b, t]
                for a in range(d):
                    middle[a, b] += cross[a, s] * total
        for a in range(d):
            for b in range(d):
                half[a, b] = 0.0
                for c in range(d):
                    half[a, b] += inverse[e, a, c] * (middle[c, b] + middle[b, c])
        for a in range(d):
            for b in range(d):
                covariance[e, a, b] = inverse[e, a, b]
                for c in range(d):
                    covariance[e, a, b] += half[a, c] * inverse[e, c, b]


@compiled
def margin_variance(
    first, last, starts, z, index, value, entries, weight, inverse, dense, covariance, variance
) -> None:  # fmt: skip
    """Compute the variance of each margin, the covariance of dense columns and entities included.

    It is v_i = z_i'W_e z_i + f_i'D f_i - 2 z_i'V_e C_e D f_i, where W_e of :func:`add_uncertainty_of_rest` is
    ``covariance``.
    """
    d = z.shape[1]
    width = dense.shape[0]
    cross = np.empty((d, width))
    between = np.empty((d, width))  # V_e C_e D in the columns that the entity's rows touch
    touched = np.empty(width, np.int64)
    place = np.full(width, -1)
    for e in range(first, last):
        count = _gather(starts[e], starts[e + 1], z, index, value, entries, weight, place, touched, cross)
        _solve_and_multiply(inverse[e], cross, dense, touched[:count], between)
        for i in range(starts[e], starts[e + 1]):
            v = 0.0
            for a in range(d):
                for b in range(d):
                    v += z[i, a] * covariance[e, a, b] * z[i, b]
            for j in range(entries):
                if weight[i] * value[i, j] != 0.0:
                    column = index[i, j]
                    inner = 0.0
                    for m in range(entries):
                        inner += dense[column, index[i, m]] * value[i, m]
                    for a in range(d):
                        inner -= 2.0 * z[i, a] * between[a, place[column]]
                    v += value[i, j] * inner
            variance[i] = v
        for s in range(count):
            place[touched[s]] = -1


@compiled
def _solve_and_multiply(inverse, cross, dense, touched, product) -> None:
    """Compute V C D for the columns in ``touched``; C is given in these alone."""
    d = inverse.shape[0]
    solved = np.empty((d, touched.size))
    for a in range(d):
        for s in range(touched.size):
            solved[a, s] = 0.0
            for b in range(d):
                solved[a, s] += inverse[a, b] * cross[b, s]
    for a in range(d):
        for t in range(touched.size):
            product[a, t] = 0.0
            for s in range(touched.size):
                product[a, t] += solved[a, s] * dense[touched[s], touched[t]]
