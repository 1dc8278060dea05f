"""Formats in which rows are stored, by loss, and the layout of blocks of entities that the kernels sweep.

A row has offset o_i, numbers z_i, label y_i and weight a_i (1 without weights). Stored are t_i, the slopes s_i, and in
two of the formats one number more:

    format     loss       t_i                     s_i               and
    LOGISTIC   logistic   y_i o_i                 y_i z_i                          y_i in {-1, 1}; no weights
    WEIGHTED   logistic   y_i o_i                 y_i z_i           a_i
    LINEAR     linear     sqrt(a_i) (o_i - y_i)   sqrt(a_i) z_i
    POISSON    poisson    o_i + log a_i           z_i               a_i y_i

A row of weight a counts as a rows. With a normal label or a count the weight can be made part of the other numbers. A
row of zeros adds nothing to any sum, whatever the format.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from proml_kedro.models.mixed.spec import Loss

LOGISTIC, WEIGHTED, LINEAR, POISSON = range(4)


def form_of(loss: Loss, weighted: bool) -> int:
    """Return the format of rows for a loss, with or without weights."""
    if loss == "logistic":
        return WEIGHTED if weighted else LOGISTIC
    return LINEAR if loss == "linear" else POISSON


def width_of(form: int, d: int) -> int:
    """Return how many numbers are stored of a row with ``d`` slopes.

    >>> width_of(LOGISTIC, 3), width_of(WEIGHTED, 3)
    (4, 5)
    """
    return 1 + d + (form in (WEIGHTED, POISSON))


def floats_of(form: int) -> type[np.floating[Any]]:
    """Return the type of floats in which sums over rows are computed.

    A row adds at most 1/4 to the curvature of the logistic loss. Of a count it adds the count's mean, and of a number
    one over the residual variance: where these are large, float32 would lose the prior by rounding.
    """
    return np.float32 if form in (LOGISTIC, WEIGHTED) else np.float64


def lanes_of(d: int) -> int:
    """Return how many entities a block holds: two vectors of eight.

    With few slopes a loop has few instructions; the compiler then vectorises it only when it has more turns.
    """
    return 16 if d > 2 else 64


def triangle(d: int) -> int:
    """Return the number of entries of a symmetric matrix: entry (a, b) with b <= a is at a (a + 1) / 2 + b.

    >>> triangle(3)
    6
    """
    return d * (d + 1) // 2
