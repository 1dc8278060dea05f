"""Laplace's approximation of the log marginal likelihood: random effects are integrated out."""

from __future__ import annotations

import math

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import constant
from proml_kedro.models.mixed.memory.coefficients import Coefficients, Priors
from proml_kedro.models.mixed.memory.newton import NewtonStep
from proml_kedro.models.mixed.memory.passes import Passes


def log_marginal_likelihood(
    passes: Passes, now: Coefficients, step: NewtonStep, priors: Priors, dispersion: float
) -> float:
    """Compute log p(y | u) + log p(u) - log|H / 2 pi| / 2 at the effects u, with the curvature H of their posterior.

    The conventions are those of lme4 (Bates, Maechler, Bolker and Walker, 2015): with logistic and Poisson loss the
    fixed effects are taken at their estimates (ML); with linear loss they are integrated out with a flat prior (REML).
    The determinant is exact for dense columns; for the others it is that of each level's own block.

    Args:
        passes: Passes over the rows, whose scale is 1 / dispersion.
        now: Coefficients.
        step: The last step, for its covariances.
        priors: Priors of the last step.
        dispersion: Variance of a label around its mean, with the linear loss.
    """
    design = passes.design
    fit = passes.loss_at(now.u, now.x)
    fit += constant(passes.loss, design.label, design.weight, dispersion)
    effects = [group for group in design.groups if group.effect is not None]
    spread = np.einsum("ea,ab,eb->", now.u, priors.precisions[design.eliminated], now.u) / 2
    determinant = -log_determinants(step.inverse[: design.entities])
    determinant -= design.entities * log_determinant(priors.precisions[design.eliminated])
    for group in effects:
        part, precision = now.x[group.columns].reshape(group.levels, group.dimension), priors.of_group(group)
        spread += np.einsum("ea,ab,eb->", part, precision, part) / 2
        determinant -= group.levels * log_determinant(precision)
        if group.columns.stop > design.dense:
            own = step.variances[group.columns, : group.dimension].reshape(-1, group.dimension, group.dimension)
            determinant -= log_determinants(own)
    return -fit - float(spread) - determinant / 2 + _dense_part(passes, step)


def _dense_part(passes: Passes, step: NewtonStep) -> float:
    """Compute -log|H / 2 pi| / 2 of the dense columns that are integrated out."""
    design = passes.design
    solved = np.diag(step.dense) > 0
    if not solved.any():
        return 0.0
    determinant = log_determinant(step.dense[np.ix_(solved, solved)])  # of the inverse of the curvature
    fixed = np.flatnonzero(solved[: design.first_random])
    if passes.loss == "linear":
        return determinant / 2 + len(fixed) * math.log(2 * math.pi) / 2
    return (determinant - log_determinant(step.dense[np.ix_(fixed, fixed)])) / 2


def log_determinant(matrix: Array) -> float:
    """Compute the logarithm of the determinant of a positive definite matrix, 0 for an empty one."""
    return float(np.linalg.slogdet(matrix)[1])


def log_determinants(matrices: Array) -> float:
    """Sum the same over matrices, shape (n, d, d)."""
    return float(np.linalg.slogdet(matrices)[1].sum())
