"""The forms in which rows are stored, by loss: what a sweep needs of a row, and no more.

A row has offset o_i, numbers z_i, label y_i and weight a_i (1 where there are none). Stored are t_i, slopes s_i, and in
two of the forms one number more:

    form       loss       t_i                     s_i               and
    LOGISTIC   logistic   y_i o_i                 y_i z_i                          y_i in {-1, 1}; no weights
    WEIGHTED   logistic   y_i o_i                 y_i z_i           a_i
    LINEAR     linear     sqrt(a_i) (o_i - y_i)   sqrt(a_i) z_i
    POISSON    poisson    o_i + log a_i           z_i               a_i y_i

A row of weight a counts as a rows: in the likelihood of a normal label or of a count the weight can be made part of the
other numbers. A row of zeros adds nothing to any sum, whatever the form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from proml_kedro.models.mixed.spec import Loss

LOGISTIC, WEIGHTED, LINEAR, POISSON = range(4)


def form_of(loss: Loss, weighted: bool) -> int:
    """The form of rows for a loss."""
    if loss == "logistic":
        return WEIGHTED if weighted else LOGISTIC
    return LINEAR if loss == "linear" else POISSON


def width_of(form: int, d: int) -> int:
    """Numbers stored of a row with ``d`` slopes."""
    return 1 + d + (form in (WEIGHTED, POISSON))


def floats_of(form: int) -> type[np.floating[Any]]:
    """In which arithmetic sums over rows are.

    What a row adds to the curvature of the logistic loss is at most 1/4. Of a count it is the count's mean, and of a
    number one over the residual variance: where these are large, float32 would lose the prior beside them.
    """
    return np.float32 if form in (LOGISTIC, WEIGHTED) else np.float64
