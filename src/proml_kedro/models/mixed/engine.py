"""Fitting: Newton steps for the coefficients, in between updates of the variances, until neither moves."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.design import Rows
from proml_kedro.models.mixed.empirical_bayes import Covariance
from proml_kedro.models.mixed.newton import Coefficients, Prior, Step, newton_step
from proml_kedro.models.mixed.passes import Floats, Linearisation, Passes, passes_over

logger = logging.getLogger(__name__)

_WARM_UP = 2  # Newton steps before covariances are estimated: the first ones are far from the posterior means
_INTERCEPT_PENALTY = 1e-4  # keeps the intercept finite when all labels are equal, and moves no other


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        variational: Weigh rows by the mean of the likelihood over the posterior, not by its value at the mode.
        penalty: Precision of the fixed effects' prior.
        tolerance: Largest change of a fixed effect, and root mean square change of random ones, to stop at; log-odds.
        covariance_tolerance: Largest relative change of a covariance to stop at.
        max_iterations: Of Newton steps.
    """

    variational: bool = True
    penalty: float = 1.0
    tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    max_iterations: int = 50


@dataclass
class Fit:
    """What was found.

    Attributes:
        fixed: Coefficients of the fixed numbers, shape (p,).
        categories: Of each categorical fixed effect, shape (levels,).
        effects: Posterior means of each random effect, shape (levels, d).
        uncertainties: Posterior covariances of each random effect, shape (levels, d, d).
        covariances: The covariance of each random effect, shape (d, d).
        iterations: Newton steps taken.
        passes: Passes over the rows, all together.
        converged: Whether tolerances were reached.
        history: One entry a step: loss with priors, step size, relative change of the covariances.
    """

    fixed: Floats
    categories: list[Floats]
    effects: list[Floats]
    uncertainties: list[Floats]
    covariances: list[Array]
    iterations: int = 0
    passes: int = 0
    converged: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(rows: Rows, covariances: Sequence[Covariance], settings: Settings, threads: int = 1) -> Fit:
    """Maximise the penalised likelihood, and the covariances' marginal likelihood along with it.

    Args:
        rows: The data.
        covariances: One for each random effect; updated in place.
        settings: How.
        threads: Threads to use; results differ by rounding between thread counts.
    """
    now = Coefficients(np.zeros((rows.entities + 1, rows.z.shape[1])), np.zeros(rows.width))
    now.x[0] = _first_intercept(rows)
    variance = np.zeros(len(rows))
    share, last_direction = 1.0, np.zeros(len(rows))  # the share of new variances in those that weigh rows
    step_size, history, converged = math.inf, [], False
    with passes_over(rows, threads) as passes:
        for iteration in range(settings.max_iterations):
            prior = _prior(rows, covariances, settings)
            kappa = 1.0 / np.sqrt(1.0 + math.pi / 8.0 * variance)
            at = passes.linearise(kappa, now.u, now.x)
            step = newton_step(passes, at, now, prior, accuracy=min(0.1, math.sqrt(step_size)))
            length, loss = _line_search(passes, at, now, step, prior, kappa)
            now = now.moved(step.change, length)
            step_size = _size(rows, step.change)
            if settings.variational:
                fresh = passes.row_variance(step.inverse, step.variances)
                # Where entities tell the label for certain, means and variances would chase each other in a circle.
                share = max(0.1, share / 2) if step.direction @ last_direction < 0 else min(1.0, 2 * share)
                last_direction = step.direction
                variance = share * fresh + (1 - share) * variance
            change = _update(rows, covariances, now, step) if iteration >= _WARM_UP else math.inf
            history.append({"loss": loss, "step": step_size, "change": change, "products": step.products})
            logger.debug("step %d: loss %.6g, step %.2g, covariances %.2g", iteration + 1, loss, step_size, change)
            if step_size < settings.tolerance and change < settings.covariance_tolerance:
                converged = True
                break
        return _collect(rows, now, step, covariances, history, converged, passes.count)


def _first_intercept(rows: Rows) -> float:
    """The log-odds of the labels, which no rows at all would make 0."""
    ones = float(rows.label.sum())
    return math.log((ones + 0.5) / (len(rows) - ones + 0.5)) - float(rows.offset.mean())


def _prior(rows: Rows, covariances: Sequence[Covariance], settings: Settings) -> Prior:
    penalty = np.full(rows.fixed, max(settings.penalty, _INTERCEPT_PENALTY))
    penalty[0] = _INTERCEPT_PENALTY
    return Prior(penalty, float(penalty.max()), [one.precision for one in covariances])


def _line_search(
    passes: Passes, at: Linearisation, now: Coefficients, step: Step, prior: Prior, kappa: Floats
) -> tuple[float, float]:
    """Halve the step until the objective falls by a ten-thousandth of what its slope promises (Armijo, 1966)."""
    rows = passes.rows
    here = prior.inner(rows, now, now)
    cross, square = prior.inner(rows, now, step.change), prior.inner(rows, step.change, step.change)
    start = at.loss + here / 2
    length = 1.0
    for _ in range(30):
        loss = passes.loss_along(at.eta, step.direction, length, kappa) + here / 2
        loss += length * cross + length**2 * square / 2
        if loss <= start - 1e-4 * length * step.decrement + 1e-9 * abs(start):  # the last term is for rounding
            break
        length /= 2
    return length, loss


def _size(rows: Rows, change: Coefficients) -> float:
    sizes = [float(np.abs(change.x[: rows.fixed]).max()), _root_mean_square(change.u)]
    return max(sizes + [_root_mean_square(change.x[group.columns]) for group in rows.groups])


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


def _update(rows: Rows, covariances: Sequence[Covariance], now: Coefficients, step: Step) -> float:
    """Update every covariance; the largest relative change."""
    effects, uncertainties = _effects(rows, now, step)
    changes = [
        one.update(u.T @ u / len(u), v.mean(0)) for one, u, v in zip(covariances, effects, uncertainties, strict=True)
    ]
    return max(changes)


def _effects(rows: Rows, now: Coefficients, step: Step) -> tuple[list[Floats], list[Floats]]:
    """Posterior means and covariances of the random effects, in their order."""
    found = {rows.eliminated: (now.u[: rows.entities], step.inverse[: rows.entities])}
    for group in rows.groups:
        if group.effect is not None:
            d = group.dimension
            variance = step.variances[group.columns, :d].reshape(group.levels, d, d)
            found[group.effect] = now.x[group.columns].reshape(group.levels, d), variance
    return [found[k][0] for k in sorted(found)], [found[k][1] for k in sorted(found)]


def _collect(
    rows: Rows,
    now: Coefficients,
    step: Step,
    covariances: Sequence[Covariance],
    history: list[dict[str, Any]],
    converged: bool,
    passes: int,
) -> Fit:
    effects, uncertainties = _effects(rows, now, step)
    return Fit(
        now.x[: rows.fixed],
        [now.x[group.columns] for group in rows.groups if group.effect is None],
        effects,
        uncertainties,
        [one.value for one in covariances],
        len(history),
        passes,
        converged,
        history,
    )
