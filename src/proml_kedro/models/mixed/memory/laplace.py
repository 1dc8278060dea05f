"""Correction of a Newton step towards the maximum of Laplace's marginal likelihood (``method: laplace``).

With the random effects u at their mode given the fixed effects beta, and H the curvature there in all of u,

    L(S, beta) = log p(y | u, beta) + log p(u | S) - log|H / 2 pi| / 2.

The mode depends on S and beta, and so does H. Let w' be the third derivative of a row's negative log likelihood,
v_i = a_i'H^-1 a_i the variance of its margin, A and X the designs of u and beta, and W the weights of the rows. Then

    b = - H^-1 A'(v w') / 2                         by implicit differentiation of the mode (Kristensen et al., 2016)
    dL/dS = 0       where  S = mean(u u' + u b' + b u' + V)        over entities with posterior covariance V
    dL/dbeta        = X'(r - v w' / 2 - W A b)

b is the difference, to first order, between the mean of the posterior and its mode (Tierney and Kadane, 1986). Without
b and w' these are the equations of penalised quasi-likelihood. At their solution L has its maximum, which is also what
lme4's ``glmer`` computes with ``nAGQ = 1`` (Bates, Maechler, Bolker and Walker, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import third_derivative
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.schur import SchurSolver

_LEAST = 0.1  # smallest share of a second moment that the correction leaves
_TINY = 1e-30


@dataclass(frozen=True)
class PreviousTilt:
    """Tilt of the step before, which damps the new one.

    Attributes:
        tilt: Tilt of the step before, shape (width,).
        share: Share of the new tilt in the one that is used; less than 1 where steps oscillate.
    """

    tilt: Floats
    share: float


@dataclass(frozen=True)
class SkewCorrection:
    """Correction of one Newton step for the skewness of the posterior.

    Attributes:
        u: b of the eliminated effect, shape (entities + 1, d).
        x: b of the other random effects, zero for fixed ones, shape (width,).
        tilt: Added to the gradient of the fixed effects, zero for the others, shape (width,).
        covariance: V of the eliminated effect given the fixed ones, shape (entities + 1, d, d).
        dense: Covariance of the dense columns given the fixed effects, zero for these; shape (dense, dense).
    """

    u: Floats
    x: Floats
    tilt: Floats
    covariance: Floats
    dense: Floats


def skew_correction(
    passes: Passes, at: Linearisation, inverse: Floats, solver: SchurSolver, accuracy: float, previous: PreviousTilt
) -> SkewCorrection:
    """Compute the correction at these coefficients; v is exact as far as columns are dense.

    Args:
        passes: Passes over the rows.
        at: Likelihood around the coefficients, not averaged over their posterior.
        inverse: V_e of the eliminated effect given all else, shape (entities + 1, d, d).
        solver: Solver of the Newton equations.
        accuracy: Factor by which conjugate gradients reduce the residual.
        previous: Tilt of the step before.
    """
    design = passes.design
    random = np.arange(design.width) >= design.first_random
    with solver.holding(~random):
        covariance = passes.add_uncertainty_of_rest(at, inverse, solver.dense)
        variance = passes.margin_variance(at, inverse, solver.dense, covariance)
        variance += passes.row_variance(np.zeros_like(inverse), solver.variances(within_dense=False))
        pull = -variance * third_derivative(passes.loss, at.eta, at.weight) / 2
        gradient = _sums_by_entity(design, pull)
        alone = np.einsum("eab,eb->ea", inverse, gradient)
        right, _ = passes.eliminate(replace(at, residual=pull), inverse, alone)
        x = solver.solve(np.where(random, right, 0.0), accuracy)
        dense = solver.dense
    u, moved = passes.substitute(at, inverse, gradient, x)
    tilt = np.where(random, 0.0, passes.sums_by_column(pull - at.weight * moved))
    tilt = previous.share * tilt + (1 - previous.share) * previous.tilt
    return SkewCorrection(u, x, tilt, covariance, dense)


def _sums_by_entity(design: Design, values: Floats) -> Floats:
    """Sum z_i times a value over the rows of each entity, shape (entities + 1, d)."""
    sums = np.zeros((len(design) + 1, design.z.shape[1]))
    np.cumsum(design.z * values[:, None], axis=0, out=sums[1:])
    return np.asarray(np.diff(sums[design.starts], axis=0))


def second_moment(mode: Floats, shift: Floats) -> Array:
    """Compute the mean of u u' + u b' + b u', at least a tenth of the mean of u u' in every direction; shape (d, d).

    Where entities have little data the correction may exceed what it corrects; there it is not valid.

    Args:
        mode: u, shape (entities, d).
        shift: b, shape (entities, d).
    """
    plain = mode.T @ mode / len(mode)
    root = np.linalg.cholesky(plain + (1e-9 * np.trace(plain) + _TINY) * np.eye(len(plain)))
    back = np.linalg.inv(root)
    cross = back @ (mode.T @ shift / len(mode)) @ back.T
    values, vectors = np.linalg.eigh(back @ plain @ back.T + cross + cross.T)
    basis = root @ vectors
    return np.asarray(basis * np.maximum(values, _LEAST) @ basis.T)
