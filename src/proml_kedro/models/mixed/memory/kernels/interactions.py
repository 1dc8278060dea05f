"""Compiled passes for an interaction of low rank, with the notation of :mod:`.rows`.

Row i has one level in each of several fields, such as a member and a job; ``codes[i, f]`` is its place in the table T
of all fields' levels, shape (places, rank). The products of every pair of them are added to its margin,

    sum over f < g of T[f]'T[g]  =  (s's - sum over f of T[f]'T[f]) / 2        with s the sum of T[f]

(Rendle, 2010). The posterior of every entry is normal with its own variance V, and entries are taken as independent.
Then the sum of the products has the mean above, and the variance

    sum over f of V[f] (s - T[f])^2  +  sum over f < g of V[f] V[g]            summed over the rank.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from proml_kedro.models.mixed.losses import LARGEST_SPREAD
from proml_kedro.models.mixed.memory.kernels.rows import LINEAR, POISSON, compiled, likelihood

_LONGEST = 4.0  # largest norm of one level's step: with the Poisson loss a long one overshoots


@compiled
def averaging(loss, variance) -> float:
    """Compute ``losses.averaging`` of one row."""
    if loss == LINEAR:
        return 1.0
    if loss == POISSON:
        return math.exp(min(variance, LARGEST_SPREAD) / 2)
    return 1.0 / math.sqrt(1.0 + math.pi / 8.0 * variance)


@compiled
def row_moments(codes, i, table, variances):
    """Compute mean and variance of the interaction in row i."""
    mean = 0.0
    variance = 0.0
    for a in range(table.shape[1]):
        total = 0.0
        spread = 0.0
        for f in range(codes.shape[1]):
            total += table[codes[i, f], a]
            spread += variances[codes[i, f], a]
        squares = 0.0
        twice = spread * spread
        for f in range(codes.shape[1]):
            t = table[codes[i, f], a]
            v = variances[codes[i, f], a]
            squares += t * t
            twice -= v * v
            variance += v * (total - t) * (total - t)
        mean += 0.5 * (total * total - squares)
        variance += 0.5 * twice
    return mean, variance


@compiled
def moments(first, last, codes, table, variances, mean, variance) -> None:
    """Compute :func:`row_moments` of the rows ``first`` to ``last``."""
    for i in range(first, last):
        mean[i], variance[i] = row_moments(codes, i, table, variances)


@compiled
def update_field(
    first, last, start, starts, rows, codes, eta, spread, label, weights, loss, scale, precision, table, variances
) -> None:
    """Take one Newton step for the factors of each level of one field, given those of the others.

    Level e of the field is at ``start + e`` in the table; its rows are ``rows[starts[e]:starts[e + 1]]``. ``eta`` and
    ``spread`` are mean and variance of a row's margin without the interaction, r_i and w_i derivative and curvature of
    its likelihood (:func:`.rows.likelihood`), q_i the sum of the other fields' factors in the row, and V_i that of
    their variances. Then

        g = sum r_i q_i - w_i V_i T[e] - S^-1 T[e]        H = sum w_i (q_i q_i' + V_i) + S^-1

    T[e] becomes T[e] + H^-1 g, and its variances the diagonal of H^-1. Where q is uncertain, w_i V_i keeps T[e] small.
    """
    d = table.shape[1]
    q = np.empty(d)
    v = np.empty(d)
    gradient = np.empty(d)
    for e in range(first, last):
        place = start + e
        information = np.zeros((d, d))
        for a in range(d):
            gradient[a] = -precision[a] * table[place, a]
            information[a, a] = precision[a]
        for k in range(starts[e], starts[e + 1]):
            i = rows[k]
            mean, variance = row_moments(codes, i, table, variances)
            kappa = averaging(loss, spread[i] + variance)
            slope, curvature = likelihood(loss, eta[i] + mean, float(label[i]), kappa)
            r = scale * weights[i] * slope
            w = scale * weights[i] * curvature
            for a in range(d):
                q[a] = -table[place, a]
                v[a] = -variances[place, a]
                for f in range(codes.shape[1]):
                    q[a] += table[codes[i, f], a]
                    v[a] += variances[codes[i, f], a]
                gradient[a] += r * q[a] - w * v[a] * table[place, a]
                information[a, a] += w * v[a]
                for b in range(a + 1):
                    information[a, b] += w * q[a] * q[b]
        for a in range(d):
            for b in range(a + 1, d):
                information[a, b] = information[b, a]
        covariance = np.linalg.inv(information)
        change = covariance @ gradient
        size = math.sqrt((change * change).sum())
        length = min(1.0, _LONGEST / max(size, 1e-12))
        for a in range(d):
            table[place, a] += length * change[a]
            variances[place, a] = covariance[a, a]
