"""Newton step for all coefficients together.

The curvature of the penalised likelihood is [[H_u, C], [C', H_x]]: u are the coefficients of the largest random
effect, x all others. H_u is block diagonal, one d x d block for each entity. Eliminating u exactly leaves

    (H_x - C' H_u^-1 C) x = g_x - C' H_u^-1 g_u

which is solved by conjugate gradients (:mod:`.schur`). Fitting one effect after the other instead (block coordinate
descent, as in Zhang et al., KDD 2016) needs many more passes, because crossed effects explain the same variation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proml_kedro.models.mixed.memory.coefficients import Coefficients, Priors
from proml_kedro.models.mixed.memory.elastic_net import sparse_step
from proml_kedro.models.mixed.memory.laplace import PreviousTilt, SkewCorrection, skew_correction
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.schur import SchurSolver


@dataclass
class NewtonStep:
    """Newton step, and the posterior covariances at its start.

    Attributes:
        change: Change of the coefficients.
        direction: Change of the margins, shape (n,).
        decrement: Gradient times change: twice the decrease of the objective if it were quadratic.
        inverse: Posterior covariance of each entity of the eliminated effect given all else, shape
            (entities + 1, d, d).
        variances: Posterior covariance of each level of the other effects, fixed categories among them, shape (width,
            largest dimension); 0 for fixed numbers.
        averaged: The same given the fixed effects, by which the likelihood is averaged.
        dense: Posterior covariance of the dense columns, shape (dense, dense).
        linear: What the step adds to the objective beside the likelihood and the normal priors; all of it is linear.
        products: Number of products with the Schur complement.
        skew: Correction by which it is a step for Laplace's marginal likelihood; None for the joint likelihood.
    """

    change: Coefficients
    direction: Floats
    decrement: float
    inverse: Floats
    variances: Floats
    averaged: Floats
    dense: Floats
    linear: float
    products: int
    skew: SkewCorrection | None = None


def newton_step(
    passes: Passes,
    at: Linearisation,
    now: Coefficients,
    priors: Priors,
    accuracy: float,
    previous: PreviousTilt | None = None,
) -> NewtonStep:
    """Solve for the step.

    Args:
        passes: Passes over the rows.
        at: Likelihood around ``now``.
        now: Current coefficients.
        priors: Priors of the coefficients.
        accuracy: Conjugate gradients stop when the residual has fallen by this factor.
        previous: Tilt of the step before, when the fixed effects maximise Laplace's marginal likelihood; None when
            they maximise the joint likelihood.
    """
    design = passes.design
    precision = priors.precisions[design.eliminated]
    inverse = np.asarray(np.linalg.inv(at.information + precision), np.float64)
    gradient = at.gradient - now.u @ precision
    alone = np.einsum("eab,eb->ea", inverse, gradient)
    right, blocks = passes.eliminate(at, inverse, alone)
    right -= priors.times(design, now.x)

    solver = SchurSolver(passes, at, inverse, priors, blocks)
    skew = skew_correction(passes, at, inverse, solver, accuracy, previous) if previous else None
    if skew is not None:
        right += skew.tilt
    if priors.l1 > 0:
        x, linear = sparse_step(solver.within, right, now.x, priors.rates(design), accuracy)
    else:
        x, linear = solver.solve(right, accuracy), 0.0
    u, direction = passes.substitute(at, inverse, gradient, x)
    # g_u'du + g_x'dx, with the part of g_x that the elimination of u has moved put back.
    decrement = float(np.einsum("ea,ea->", gradient, alone) + right @ x) - linear
    if skew is not None:
        linear -= float(skew.tilt @ x)
    return NewtonStep(
        change=Coefficients(u, x),
        direction=direction,
        decrement=decrement,
        inverse=inverse,
        variances=solver.variances(),
        averaged=solver.variances_given_fixed(),
        dense=solver.dense,
        linear=linear,
        products=solver.products,
        skew=skew,
    )
