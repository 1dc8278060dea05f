"""How likely the labels are, whatever the random effects: Laplace's approximation of the marginal likelihood."""

from __future__ import annotations

import math

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import constant
from proml_kedro.models.mixed.memory.newton import Coefficients, Prior, Step
from proml_kedro.models.mixed.memory.passes import Passes


def log_marginal_likelihood(passes: Passes, now: Coefficients, step: Step, prior: Prior, dispersion: float) -> float:
    """Log p(y | u) + log p(u) - log|H / 2 pi| / 2 at the effects u, with the curvature H of their posterior.

    As lme4 has it: of logistic and Poisson models the fixed effects are taken at their estimates (ML), of linear ones
    they are integrated out with a flat prior (REML). The determinant is exact as far as the columns are dense; beyond,
    it is that of each level's own block.

    Args:
        passes: The rows; its scale is 1 / dispersion.
        now: The coefficients.
        step: The last step, for its covariances.
        prior: The priors of the last step.
        dispersion: See :func:`.losses.constant`.
    """
    rows = passes.rows
    fit = passes.loss_at(now.u, now.x)
    fit += constant(passes.loss, rows.label, rows.weight, dispersion)
    effects = [group for group in rows.groups if group.effect is not None]
    spread = np.einsum("ea,ab,eb->", now.u, prior.precisions[rows.eliminated], now.u) / 2
    determinant = -_log_determinants(step.inverse[: rows.entities])
    determinant -= rows.entities * _log_determinant(prior.precisions[rows.eliminated])
    for group in effects:
        part, precision = now.x[group.columns].reshape(group.levels, group.dimension), prior.of_group(group)
        spread += np.einsum("ea,ab,eb->", part, precision, part) / 2
        determinant -= group.levels * _log_determinant(precision)
        if group.columns.stop > rows.dense:
            own = step.variances[group.columns, : group.dimension].reshape(-1, group.dimension, group.dimension)
            determinant -= _log_determinants(own)
    return -fit - float(spread) - determinant / 2 + _dense_part(passes, step)


def _dense_part(passes: Passes, step: Step) -> float:
    """-log|H / 2 pi| / 2 for the columns that are solved densely and integrated out."""
    rows = passes.rows
    solved = np.diag(step.dense) > 0
    if not solved.any():
        return 0.0
    curvature = np.linalg.inv(step.dense[np.ix_(solved, solved)])
    count = int(np.count_nonzero(solved[: rows.first_random]))
    if passes.loss == "linear":
        return -_log_determinant(curvature) / 2 + count * math.log(2 * math.pi) / 2
    return -_log_determinant(curvature[count:, count:]) / 2


def _log_determinant(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def _log_determinants(matrices: Array) -> float:
    return float(np.linalg.slogdet(matrices)[1].sum())
