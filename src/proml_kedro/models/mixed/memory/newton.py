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
from proml_kedro.models.mixed.memory.probes import MeanCovariances, fixed_covariance, mean_covariances
from proml_kedro.models.mixed.memory.schur import SchurSolver

_MOST_SOLVED = 256  # columns of which each costs a solution of the equations


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
        means: Estimate of the mean posterior covariance of each random effect where columns are left that are not
            dense, or None. With ``skew`` it is given the fixed effects.
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
    means: MeanCovariances | None = None


def newton_step(
    passes: Passes,
    at: Linearisation,
    now: Coefficients,
    priors: Priors,
    accuracy: float,
    previous: PreviousTilt | None = None,
    probe: bool = True,
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
        probe: Whether the mean posterior covariances are wanted where they cost solutions of the equations.
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
        means=_means(passes, at, inverse, solver, skew is not None) if probe else None,
    )


def _means(
    passes: Passes, at: Linearisation, inverse: Floats, solver: SchurSolver, given_fixed: bool
) -> MeanCovariances | None:
    """Estimate the mean covariances, unless those of the dense columns are all there is to know."""
    if solver.held[passes.design.dense :].all():
        return None
    fixed = np.arange(passes.design.width) < passes.design.first_random
    with solver.holding(solver.held | (fixed & given_fixed)):
        return mean_covariances(passes, at, inverse, solver)


def covariance_of_fixed(passes: Passes, at: Linearisation, step: NewtonStep, priors: Priors) -> Floats:
    """Compute the posterior covariance of the fixed effects, numbers first.

    It is of all of them, shape (first_random, first_random), unless there are columns that are not dense and more than
    256 fixed effects: then of the numbers alone.

    Args:
        passes: Passes over the rows.
        at: Likelihood around the coefficients before the step.
        step: The last step; coefficients that it holds have no variance.
        priors: Priors of the last step.
    """
    design = passes.design
    if design.is_dense:
        return step.dense[: design.first_random, : design.first_random]
    _, blocks = passes.eliminate(at, step.inverse, np.zeros_like(at.gradient))
    solver = SchurSolver(passes, at, step.inverse, priors, blocks)
    held = np.zeros(design.width, np.bool_)
    held[: design.first_random] = step.variances[: design.first_random, 0] == 0
    held[: design.dense] = np.diag(step.dense) == 0
    with solver.holding(held):
        return fixed_covariance(solver, design.first_random if design.first_random <= _MOST_SOLVED else design.fixed)
