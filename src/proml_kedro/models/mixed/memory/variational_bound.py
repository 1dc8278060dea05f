"""Lower bound of the log marginal likelihood that a variational fit gives.

For any distribution q of the random effects u (Jordan, Ghahramani, Jaakkola and Saul, 1999)

    log p(y | beta, S) >= E_q log p(y | u, beta) - KL(q | Normal(0, S))

Here q is normal, with the posterior means and the inverse curvature of the fit as mean and covariance. The expectation
is exact for counts, and else an integral over each margin, by the trapezoidal rule, whose error is far below rounding.
"""

from __future__ import annotations

import math

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import constant
from proml_kedro.models.mixed.memory.coefficients import Coefficients, Priors
from proml_kedro.models.mixed.memory.marginal_likelihood import log_determinant, log_determinants
from proml_kedro.models.mixed.memory.newton import NewtonStep
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.schur import SchurSolver

_REACH = 8.5  # deviations up to which is integrated: a share of 2e-17 lies beyond
_WIDEST, _FINE = 0.5, 0.75  # distance of nodes, in deviations, and in units of the margin
_MOST_AT_ONCE = 4_000_000
_MOST_OF_A_COUNT = 700.0


def variational_bound(passes: Passes, at: Linearisation, now: Coefficients, step: NewtonStep, priors: Priors) -> float:
    """Compute the bound, given the fixed effects; all columns beside the eliminated effect are dense.

    Args:
        passes: Passes over the rows.
        at: Likelihood around the coefficients before the last step.
        now: Coefficients.
        step: The last step.
        priors: Priors of the last step.
    """
    design = passes.design
    fixed = np.arange(design.width) < design.first_random
    _, blocks = passes.eliminate(at, step.inverse, np.zeros_like(at.gradient))
    solver = SchurSolver(passes, at, step.inverse, priors, blocks)
    with solver.holding(fixed):
        dense = solver.dense
        covariance = passes.add_uncertainty_of_rest(at, step.inverse, dense)
        variance = passes.margin_variance(at, step.inverse, dense, covariance)
    eta = passes.linearise(np.ones(len(design)), now.u, now.x).eta
    expected = float(_expected(passes.loss, eta, variance, design.label) @ design.weight.astype(np.float64))
    expected -= constant(passes.loss, design.label, design.weight, 1.0)
    precision = priors.precisions[design.eliminated]
    own = covariance[: design.entities]
    spread = np.einsum("ea,ab,eb->", now.u, precision, now.u) + np.einsum("ab,eba->", precision, own)
    surprise = spread - design.entities * (len(precision) + log_determinant(precision))
    surprise -= log_determinants(step.inverse[: design.entities]) + log_determinant(dense[np.ix_(~fixed, ~fixed)])
    for group in design.groups:
        if group.effect is not None:
            precision, part = priors.of_group(group), now.x[group.columns].reshape(group.levels, group.dimension)
            block = dense[group.columns, group.columns].reshape(group.levels, group.dimension, group.levels, -1)
            spread = np.einsum("ea,ab,eb->", part, precision, part) + np.einsum("ab,ebea->", precision, block)
            surprise += spread - group.levels * (len(precision) + log_determinant(precision))
    return expected - float(surprise) / 2


def _expected(loss: str, eta: Floats, variance: Floats, label: Array) -> Floats:
    """Compute the mean of each row's log likelihood over a normal margin, without its constant; shape (n,)."""
    label = label.astype(np.float64)
    if loss == "poisson":
        return np.asarray(label * eta - np.exp(np.minimum(eta + variance / 2, _MOST_OF_A_COUNT)))
    deviation = np.sqrt(np.maximum(variance, 0.0))
    apart = min(_WIDEST, _FINE / max(float(deviation.max(initial=0.0)), 1e-9))
    nodes = np.arange(-math.ceil(_REACH / apart), math.ceil(_REACH / apart) + 1) * apart
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    found = label * eta
    rows = max(_MOST_AT_ONCE // len(nodes), 1)
    for first in range(0, len(eta), rows):
        part = slice(first, first + rows)
        found[part] -= np.logaddexp(0.0, eta[part, None] + deviation[part, None] * nodes) @ weights
    return np.asarray(found)
