"""Compiled passes over the rows, one equation each.

Every function loops over the entities ``first`` to ``last`` of the eliminated effect, and over the rows of each, which
are adjacent. For a row i of entity e the model is

    eta_i = o_i + a_i'x + z_i'u_e

with the offset o, the slopes z (n, d) of the eliminated effect, and the row a_i of a sparse matrix for all other
coefficients x: entry j of the row is ``value[i, j]`` in column ``index[i, j]``. The first entries, the intercept and
the numbers, are in the same columns in every row. The others come in groups, whose bounds among a row's entries are
``groups``: the level of a categorical fixed effect, or the slopes of one entity of another random effect.

Data are float32 and sums float64. The functions start no threads: they release the interpreter's lock, and the caller
gives each thread its own entities and its own sums. Compiling all of them costs about 6 CPU-seconds once; the result is
kept beside the source, or in the user's cache where that folder cannot be written.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from proml_kedro.models.mixed.losses import CODES, averaged_margin

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, and keep the result for the next process."""
    quick = {"contract", "reassoc"}  # sums in any order; NaN and infinity stay what they are
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=quick)(function))


LINEAR, POISSON = CODES["linear"], CODES["poisson"]
_LARGEST_EXPONENT = 80.0  # a mean of 5e34, exceeded only before convergence; a finite value lets a line search work
_averaged_margin = compiled(averaged_margin)


@compiled
def likelihood(loss, margin, label, k):
    """Compute derivative and curvature of one row's log likelihood in the margin, averaged over a normal posterior.

    k is the factor of ``losses.averaging``; k = 1 is the likelihood at the margin. Logistic: y - p and w p (1 - p),
    with p = sigma of ``losses.averaged_margin`` and w the derivative of that. Linear: y - eta and 1. Poisson: y - m and
    m, with m = k exp(eta).
    """
    if loss == LINEAR:
        return label - margin, 1.0
    if loss == POISSON:
        mean = k * math.exp(min(margin, _LARGEST_EXPONENT))
        return label - mean, mean
    averaged, slope = _averaged_margin(margin, k)
    tail = math.exp(-abs(averaged))
    p = 1.0 / (1.0 + tail)
    curvature = slope * tail * p * p
    if averaged < 0.0:
        p = tail * p
    return label - p, curvature


@compiled
def negative_log_likelihood(first, last, eta, label, weights, loss) -> float:
    """Sum the negative log likelihood of the rows ``first`` to ``last`` with the margins ``eta``, without its constant.

    Logistic: log(1 + exp(eta)) - y eta. Linear: (y - eta)^2 / 2. Poisson: exp(eta) - y eta.
    """
    total = 0.0
    for i in range(first, last):
        margin, y = eta[i], float(label[i])
        if loss == LINEAR:
            lost = 0.5 * (y - margin) * (y - margin)
        elif loss == POISSON:
            lost = math.exp(min(margin, _LARGEST_EXPONENT)) - y * margin
        else:
            lost = max(margin, 0.0) + math.log1p(math.exp(-abs(margin))) - y * margin
        total += weights[i] * lost
    return total


@compiled
def linearise(
    first, last, starts, z, index, value, offset, label, weights, loss, scale, kappa, u, x,
    eta, residual, weight, gradient, information,
) -> None:  # fmt: skip
    """Compute gradient and curvature of the log likelihood: g_e = sum r_i z_i; I_e = sum w_i z_i z_i'.

    r_i and w_i are derivative and curvature of the row's :func:`likelihood`, times its weight and ``scale``.
    """
    d = z.shape[1]
    for e in range(first, last):
        for i in range(starts[e], starts[e + 1]):
            margin = float(offset[i])
            for j in range(index.shape[1]):
                margin += value[i, j] * x[index[i, j]]
            for a in range(d):
                margin += z[i, a] * u[e, a]
            slope, curvature = likelihood(loss, margin, float(label[i]), kappa[i])
            factor = scale * weights[i]
            eta[i] = margin
            residual[i] = factor * slope
            weight[i] = factor * curvature
            for a in range(d):
                gradient[e, a] += residual[i] * z[i, a]
                for b in range(d):
                    information[e, a, b] += weight[i] * z[i, a] * z[i, b]


@compiled
def eliminate(first, last, starts, z, index, value, groups, residual, weight, inverse, step, gradient, blocks) -> None:
    """Compute the gradient for x once each entity has taken its own best step q_e: g_x = sum a_i (r_i - w_i z_i'q_e).

    Also sum the diagonal blocks of each group's curvature, for the preconditioner. They approximate the Schur
    complement: each row is reduced by its own leverage, w_i (1 - w_i z_i' V_e z_i), and products of different rows of
    an entity are left out.
    """
    d = z.shape[1]
    p = groups[0]
    for e in range(first, last):
        for i in range(starts[e], starts[e + 1]):
            along = 0.0
            leverage = 0.0
            for a in range(d):
                along += z[i, a] * step[e, a]
                for b in range(d):
                    leverage += z[i, a] * inverse[e, a, b] * z[i, b]
            r = residual[i] - weight[i] * along
            w = weight[i] * max(1.0 - weight[i] * leverage, 0.02)
            for j in range(p):
                gradient[index[i, j]] += r * value[i, j]
            for k in range(groups.size - 1):
                for j in range(groups[k], groups[k + 1]):
                    gradient[index[i, j]] += r * value[i, j]
                    for m in range(groups[k], groups[k + 1]):
                        blocks[index[i, j], m - groups[k]] += w * value[i, j] * value[i, m]


@compiled
def schur_product(first, last, starts, z, index, value, weight, inverse, x, row, product) -> None:
    """Compute (A'WA - A'WZ V Z'WA) x in one pass: the sum of a_i (t_i - w_i z_i'q_e).

    Here t_i = w_i a_i'x, and q_e = V_e times the sum of t_i z_i over the rows of the entity. ``row``, shape (n,), is
    scratch space for t_i while the rows of an entity are in the cache.
    """
    d = z.shape[1]
    s = np.empty(d)
    q = np.empty(d)
    for e in range(first, last):
        s[:] = 0.0
        for i in range(starts[e], starts[e + 1]):
            t = 0.0
            for j in range(index.shape[1]):
                t += value[i, j] * x[index[i, j]]
            row[i] = weight[i] * t
            for a in range(d):
                s[a] += row[i] * z[i, a]
        for a in range(d):
            q[a] = 0.0
            for b in range(d):
                q[a] += inverse[e, a, b] * s[b]
        for i in range(starts[e], starts[e + 1]):
            along = 0.0
            for a in range(d):
                along += z[i, a] * q[a]
            t = row[i] - weight[i] * along
            for j in range(index.shape[1]):
                product[index[i, j]] += t * value[i, j]


@compiled
def substitute(first, last, starts, z, index, value, weight, inverse, gradient, x, step, direction) -> None:
    """Compute each entity's step given the step x of the rest, q_e = V_e (g_e - sum w_i z_i a_i'x).

    Also compute the change of each margin, a_i'x + z_i'q_e.
    """
    d = z.shape[1]
    s = np.empty(d)
    for e in range(first, last):
        for a in range(d):
            s[a] = gradient[e, a]
        for i in range(starts[e], starts[e + 1]):
            t = 0.0
            for j in range(index.shape[1]):
                t += value[i, j] * x[index[i, j]]
            direction[i] = t
            for a in range(d):
                s[a] -= weight[i] * t * z[i, a]
        for a in range(d):
            step[e, a] = 0.0
            for b in range(d):
                step[e, a] += inverse[e, a, b] * s[b]
        for i in range(starts[e], starts[e + 1]):
            for a in range(d):
                direction[i] += z[i, a] * step[e, a]


@compiled
def slope_along(first, last, eta, direction, length, kappa, label, weights, loss, scale) -> float:
    """Compute minus the sum of r_i times the direction, at eta + length * direction; r_i as in :func:`linearise`."""
    total = 0.0
    for i in range(first, last):
        slope, _ = likelihood(loss, eta[i] + length * direction[i], float(label[i]), kappa[i])
        total -= scale * weights[i] * slope * direction[i]
    return total


@compiled
def row_variance(first, last, starts, z, index, value, groups, inverse, variances, variance) -> None:
    """Compute the posterior variance of each margin, effects taken as independent.

    It is v_i = z_i'V_e z_i + sum over groups of s_i'V s_i. Row c of ``variances`` is that of column c in the posterior
    covariance of its level, arranged as ``blocks`` in :func:`eliminate`.
    """
    d = z.shape[1]
    for e in range(first, last):
        for i in range(starts[e], starts[e + 1]):
            v = 0.0
            for a in range(d):
                for b in range(d):
                    v += z[i, a] * inverse[e, a, b] * z[i, b]
            for k in range(groups.size - 1):
                for j in range(groups[k], groups[k + 1]):
                    for m in range(groups[k], groups[k + 1]):
                        v += value[i, j] * variances[index[i, j], m - groups[k]] * value[i, m]
            variance[i] = v
