"""Fitting: Newton steps for the coefficients, in between updates of the variances, until neither moves."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.losses import averaging, first_intercept
from proml_kedro.models.mixed.memory.checkpoint import Checkpoint, Start, State
from proml_kedro.models.mixed.memory.design import Rows
from proml_kedro.models.mixed.memory.laplace import Before
from proml_kedro.models.mixed.memory.marginal_likelihood import log_marginal_likelihood
from proml_kedro.models.mixed.memory.newton import Coefficients, Prior, Step, newton_step
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes, passes_over
from proml_kedro.models.mixed.memory.settings import Fit, Settings
from proml_kedro.models.mixed.memory.variances import effects_of, update_variances

logger = logging.getLogger(__name__)

_WARM_UP = 1  # Newton steps before covariances are estimated: the first one is far from the posterior means
_SETTLED_STEP, _SETTLED_CHANGE = 0.05, 0.1
_INTERCEPT_PENALTY = 1e-4  # keeps the intercept finite when all labels are equal, and moves no other


def fit(
    rows: Rows,
    covariances: Sequence[Covariance],
    settings: Settings,
    threads: int = 1,
    start: Start | None = None,
    checkpoints: Path | None = None,
) -> Fit:
    """Maximise the penalised likelihood, and the covariances' marginal likelihood along with it.

    Args:
        rows: The data.
        covariances: One for each random effect; updated in place.
        settings: How.
        threads: Threads to use; results differ by rounding between thread counts.
        start: Where to start from; from nothing when left out.
        checkpoints: A folder in which a fit that was killed finds where it stood; None to keep nothing.
    """
    with passes_over(rows, settings.loss, threads) as passes:
        state = _begin(passes, covariances, settings, start)
        checkpoint = Checkpoint(checkpoints, rows, (settings, start is None)) if checkpoints else None
        if checkpoint and checkpoint.load(state, covariances):
            logger.info("going on after step %d of the run before", len(state.history))
            passes.add_interactions()
        converged = False
        while not converged:
            prior, before = _prior(rows, covariances, settings), [one.value for one in covariances]
            at, step = _iterate(passes, state, prior, covariances, settings)
            logger.debug("step %d: %s", len(state.history), state.history[-1])
            converged = _is_near(state.history[-1], settings)
            if len(state.history) >= settings.max_iterations:
                break
            if checkpoint and not converged:
                checkpoint.save(state, covariances)
        # The covariances that the effects were shrunk by: an effect of nothing is narrower after each update.
        found = _collect(passes, state, at, step, before, converged)
        found.log_likelihood = log_marginal_likelihood(passes, state.now, step, prior, 1.0 / passes.scale)
        if checkpoint:
            checkpoint.remove()
        return found


def _is_near(last: dict[str, Any], settings: Settings) -> bool:
    small = last["step"] < settings.tolerance and last["change"] < settings.covariance_tolerance
    return bool(small and last["interaction"] < settings.interaction_tolerance)


def _begin(passes: Passes, covariances: Sequence[Covariance], settings: Settings, start: Start | None) -> State:
    rows = passes.rows
    now = Coefficients(np.zeros((rows.entities + 1, rows.z.shape[1])), np.zeros(rows.width))
    known = rows.variance.astype(np.float64) if _averages(rows, settings) else np.zeros(len(rows))
    state = State(now, known, np.zeros(len(rows)), np.zeros(rows.width))
    if start is not None:
        state.now, state.dispersion, state.warm = start.coefficients(rows), start.dispersion, True
        for one, means in zip(rows.interactions, start.factors, strict=True):
            one.begin(means)
        return state
    if rows.fixed:
        now.x[0] = first_intercept(settings.loss, rows.label, rows.offset, rows.weight)
    if settings.loss == "poisson":
        state.now = _nearer_to_counts(passes, now, _prior(rows, covariances, settings))
    return state


def _averages(rows: Rows, settings: Settings) -> bool:
    """Whether rows are weighed by the mean of their likelihood: of a squared error it is the error of the mean."""
    return bool(rows.interactions) or (settings.method == "variational" and settings.loss != "linear")


def _is_skewed(settings: Settings) -> bool:
    """Whether the mode of the effects is not the mean: with a squared error they are one."""
    return settings.method == "laplace" and settings.loss != "linear"


def _nearer_to_counts(passes: Passes, now: Coefficients, prior: Prior) -> Coefficients:
    """The weighted least squares fit to the logarithms of the counts, where that is better.

    From means that are far too small a Newton step of the Poisson loss leads to means that are far too large.
    """
    rows, none = passes.rows, np.ones(len(passes.rows))
    counts = rows.label + 0.5
    logarithms = replace(rows, label=np.log(counts).astype(np.float32), weight=(rows.weight * counts))
    around = passes.like(logarithms, "linear")
    step = newton_step(around, around.linearise(none, now.u, now.x), now, prior, accuracy=0.1)
    there = now.moved(step.change, 1.0)
    before, after = (passes.loss_at(one.u, one.x) + prior.inner(rows, one, one) / 2 for one in (now, there))
    return there if after < before else now


def _iterate(
    passes: Passes, state: State, prior: Prior, covariances: Sequence[Covariance], settings: Settings
) -> tuple[Linearisation, Step]:
    """One Newton step, and one update of everything else."""
    rows = passes.rows
    passes.scale = 1.0 / state.dispersion
    kappa = averaging(settings.loss, state.variance)
    at = passes.linearise(kappa, state.now.u, state.now.x)
    accuracy = min(0.1, math.sqrt(state.step_size))
    before = Before(state.tilt, state.share) if _is_skewed(settings) else None
    step = newton_step(passes, at, state.now, prior, accuracy, before)
    length = _line_search(passes, at, state.now, step, prior, kappa)
    state.now = state.now.moved(step.change, length)
    state.step_size = _size(rows, step.change)
    wobble = math.inf if rows.interactions else 0.0
    # Where entities tell the label for certain, means and variances would chase each other in a circle.
    turned = step.direction @ state.direction < 0
    state.share = max(0.1, state.share / 2) if turned else min(1.0, 2 * state.share)
    state.direction = step.direction
    if step.skew is not None:
        state.tilt = step.skew.tilt
    if _averages(rows, settings):
        fresh = passes.row_variance(step.inverse, step.variances) + rows.variance
        if rows.interactions and (state.warm or any(map(_has_settled, state.history))):
            wobble, fresh = passes.sweep_interactions(at.eta + length * step.direction, fresh)
        state.variance = state.share * fresh + (1 - state.share) * state.variance
    change = math.inf
    if (state.warm or len(state.history) >= _WARM_UP) and not any(one.is_held for one in rows.interactions):
        change = update_variances(passes, state, at, step, prior, covariances, settings)
    entry = {"step": state.step_size, "change": change, "products": step.products}
    state.history.append({**entry, "interaction": wobble})
    return at, step


def _has_settled(entry: dict[str, Any]) -> bool:
    """Whether effects are near enough for interactions to explain what they leave, and not what is theirs."""
    return bool(entry["step"] < _SETTLED_STEP and entry["change"] < _SETTLED_CHANGE)


def _prior(rows: Rows, covariances: Sequence[Covariance], settings: Settings) -> Prior:
    penalty = np.full(rows.fixed, max(settings.penalty, _INTERCEPT_PENALTY))
    penalty[:1] = _INTERCEPT_PENALTY
    least = max(settings.penalty, _INTERCEPT_PENALTY)
    return Prior(penalty, least, [one.precision for one in covariances], settings.l1)


def _line_search(
    passes: Passes, at: Linearisation, now: Coefficients, step: Step, prior: Prior, kappa: Floats
) -> float:
    """Halve the step until the objective does not rise at its end half as steeply as it falls at its beginning.

    It is convex: then the minimum along the step is near. Of an averaged likelihood the slope is known, not the value.
    """
    rows = passes.rows
    cross, square = prior.inner(rows, now, step.change), prior.inner(rows, step.change, step.change)
    rounding = 1e-9 * float(np.abs(at.residual) @ np.abs(step.direction))
    length = 1.0
    for _ in range(30):
        slope = passes.slope_along(at.eta, step.direction, length, kappa) + cross + length * square + step.linear
        if slope <= step.decrement / 2 + rounding:
            break
        length /= 2
    return length


def _size(rows: Rows, change: Coefficients) -> float:
    sizes = [float(np.abs(change.x[: rows.fixed]).max(initial=0.0)), _root_mean_square(change.u)]
    return max(sizes + [_root_mean_square(change.x[group.columns]) for group in rows.groups])


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


def _collect(
    passes: Passes,
    state: State,
    at: Linearisation,
    step: Step,
    covariances: list[Array],
    converged: bool,
) -> Fit:
    rows, now = passes.rows, state.now
    effects, uncertainties = effects_of(passes, now, at, step)
    categories = [group.columns for group in rows.groups if group.effect is None]
    return Fit(
        now.x[: rows.fixed],
        _roots(np.diag(step.dense)[: rows.fixed]),
        [now.x[columns] for columns in categories],
        [_roots(step.variances[columns, 0]) for columns in categories],
        effects,
        uncertainties,
        covariances,
        state.dispersion,
        len(state.history),
        passes.count,
        float(rows.weight.sum()),
        converged,
        interactions=rows.interactions,
        history=state.history,
    )


def _roots(variances: Floats) -> Floats:
    """Standard deviations; of what is known to the last digit, rounding may make the variance negative."""
    return np.asarray(np.sqrt(np.maximum(variances, 0.0)))
