"""What the gradient of Laplace's marginal likelihood has beyond that of the joint one (``method: laplace``).

With the random effects u at their mode given the fixed effects beta, and H the curvature there in all of u,

    L(S, beta) = log p(y | u, beta) + log p(u | S) - log|H / 2 pi| / 2.

The mode moves with S and beta, and H moves with it: with w' the third derivative of a row's negative log likelihood,
v_i = a_i'H^-1 a_i the variance of its margin, A and X the designs of u and beta, and W the weights of the rows,

    b = - H^-1 A'(v w') / 2                         by implicit differentiation of the mode (Kristensen et al., 2016)
    dL/dS = 0       where  S = mean(u u' + u b' + b u' + V)        over entities with posterior covariance V
    dL/dbeta        = X'(r - v w' / 2 - W A b)

b is how far, to first order, the mean of the posterior is from its mode (Tierney and Kadane, 1986). Without b and w'
these are the equations of penalised quasi-likelihood. At their solution L has its maximum, which is what lme4's
``glmer`` looks for with ``nAGQ = 1`` (Bates, Maechler, Bolker and Walker, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import third_derivative
from proml_kedro.models.mixed.memory.design import Rows

if TYPE_CHECKING:
    from proml_kedro.models.mixed.memory.newton import Solver
    from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes

_LEAST = 0.1  # share of a second moment that is left of it
_TINY = 1e-30


@dataclass(frozen=True)
class Before:
    """What a step goes on from.

    Attributes:
        tilt: Of the step before, shape (width,).
        share: Of the new tilt in that which is used; less than 1 where steps go to and fro.
    """

    tilt: Floats
    share: float


@dataclass(frozen=True)
class Skew:
    """The correction of one Newton step.

    Attributes:
        u: b of the eliminated effect, shape (entities + 1, d).
        x: b of the other random effects, zero for fixed ones, shape (width,).
        tilt: What is added to the gradient of the fixed effects, zero for the others, shape (width,).
        covariance: V of the eliminated effect given the fixed ones, shape (entities + 1, d, d).
        dense: Covariance of the dense columns given the fixed effects, zero for these; shape (dense, dense).
    """

    u: Floats
    x: Floats
    tilt: Floats
    covariance: Floats
    dense: Floats


def skew(passes: Passes, at: Linearisation, inverse: Floats, solver: Solver, accuracy: float, before: Before) -> Skew:
    """The correction at these coefficients; v is exact as far as columns are dense.

    Args:
        passes: The rows.
        at: The likelihood at the coefficients, not averaged over their posterior.
        inverse: V_e of the eliminated effect were all else known, shape (entities + 1, d, d).
        solver: Of the Newton equations.
        accuracy: Of solving.
        before: The tilt so far.
    """
    rows = passes.rows
    random = np.arange(rows.width) >= rows.first_random
    with solver.holding(~random):
        covariance = passes.add_uncertainty_of_rest(at, inverse, solver.dense)
        variance = passes.margin_variance(at, inverse, solver.dense, covariance)
        variance += passes.row_variance(np.zeros_like(inverse), solver.variances(within_dense=False))
        pull = -variance * third_derivative(passes.loss, at.eta, at.weight) / 2
        gradient = _sums_by_entity(rows, pull)
        alone = np.einsum("eab,eb->ea", inverse, gradient)
        right, _ = passes.eliminate(replace(at, residual=pull), inverse, alone)
        x = solver.solve(np.where(random, right, 0.0), accuracy)
        dense = solver.dense
    u, moved = passes.substitute(at, inverse, gradient, x)
    tilt = np.where(random, 0.0, passes.sums_by_column(pull - at.weight * moved))
    tilt = before.share * tilt + (1 - before.share) * before.tilt
    return Skew(u, x, tilt, covariance, dense)


def _sums_by_entity(rows: Rows, values: Floats) -> Floats:
    """The sum of z_i times a value over each entity's rows, shape (entities + 1, d)."""
    sums = np.zeros((len(rows) + 1, rows.z.shape[1]))
    np.cumsum(rows.z * values[:, None], axis=0, out=sums[1:])
    return np.asarray(np.diff(sums[rows.starts], axis=0))


def second_moment(mode: Floats, shift: Floats) -> Array:
    """The mean of u u' + u b' + b u', but no less than a tenth of that of u u' in any direction; shape (d, d).

    Where little is known of an entity the correction is larger than what it corrects, and of no use.
    """
    plain = mode.T @ mode / len(mode)
    root = np.linalg.cholesky(plain + (1e-9 * np.trace(plain) + _TINY) * np.eye(len(plain)))
    back = np.linalg.inv(root)
    cross = back @ (mode.T @ shift / len(mode)) @ back.T
    values, vectors = np.linalg.eigh(back @ plain @ back.T + cross + cross.T)
    basis = root @ vectors
    return np.asarray(basis * np.maximum(values, _LEAST) @ basis.T)
