"""Fit in memory: Newton steps for the coefficients, and updates of the variances in between, until both converge."""

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
from proml_kedro.models.mixed.memory.checkpoint import Checkpoint, FitState, InitialCoefficients
from proml_kedro.models.mixed.memory.coefficients import Coefficients, Priors
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.laplace import PreviousTilt
from proml_kedro.models.mixed.memory.marginal_likelihood import log_marginal_likelihood
from proml_kedro.models.mixed.memory.newton import NewtonStep, covariance_of_fixed, newton_step
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes, passes_over
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.memory.variances import by_effect, effects_of, update_variances
from proml_kedro.models.mixed.memory.variational_bound import variational_bound

logger = logging.getLogger(__name__)

_WARM_UP = 1  # Newton steps before covariances are estimated: after fewer, coefficients are far from posterior means
_SETTLED_STEP, _SETTLED_CHANGE = 0.05, 0.1
LEAST_PENALTY = 1e-4  # keeps the intercept finite when all labels are equal, and changes no other


def fit(
    design: Design,
    covariances: Sequence[Covariance],
    settings: FitSettings,
    threads: int = 1,
    start: InitialCoefficients | None = None,
    checkpoints: Path | None = None,
) -> InMemoryFit:
    """Maximise the penalised likelihood of the coefficients and the marginal likelihood of the covariances.

    Args:
        design: The data.
        covariances: Covariance of each random effect; updated in place.
        settings: Settings of the fit.
        threads: Number of threads; results differ by rounding between numbers of threads.
        start: Initial coefficients; zero, and an intercept, when omitted.
        checkpoints: Folder from which a fit that was killed resumes; None to keep nothing.
    """
    with passes_over(design, settings.loss, threads) as passes:
        state = _initial_state(passes, covariances, settings, start)
        checkpoint = Checkpoint(checkpoints, design, (settings, start is None)) if checkpoints else None
        if checkpoint and checkpoint.load(state, covariances):
            logger.info("going on after step %d of the run before", len(state.history))
            passes.add_interactions()
        converged = False
        while not converged:
            priors, before = _priors(design, covariances, settings), [one.value for one in covariances]
            at, step = _iterate(passes, state, priors, covariances, settings)
            logger.debug("step %d: %s", len(state.history), state.history[-1])
            converged = _has_converged(state.history[-1], settings)
            if len(state.history) >= settings.max_iterations:
                break
            if checkpoint and not converged:
                checkpoint.save(state, covariances)
        # Reported are the covariances by which the effects were shrunk, not those of the update after the last step.
        fixed = covariance_of_fixed(passes, at, step, priors)
        found = replace(_result(passes, state, at, step, before, fixed), converged=converged)
        if design.is_dense and not design.interactions:
            if _averages(design, settings):
                found.log_likelihood = variational_bound(passes, at, state.now, step, priors)
            else:
                found.log_likelihood = log_marginal_likelihood(passes, state.now, step, priors, 1.0 / passes.scale)
        if checkpoint:
            checkpoint.remove()
        return found


def _has_converged(last: dict[str, Any], settings: FitSettings) -> bool:
    small = last["step"] < settings.tolerance and last["change"] < settings.covariance_tolerance
    return bool(small and last["interaction"] < settings.interaction_tolerance)


def _initial_state(
    passes: Passes, covariances: Sequence[Covariance], settings: FitSettings, start: InitialCoefficients | None
) -> FitState:
    design = passes.design
    now = Coefficients(np.zeros((design.entities + 1, design.z.shape[1])), np.zeros(design.width))
    known = design.variance.astype(np.float64) if _averages(design, settings) else np.zeros(len(design))
    state = FitState(now, known, np.zeros(len(design)), np.zeros(design.width))
    if start is not None:
        state.now, state.dispersion, state.warm = start.arranged(design), start.dispersion, True
        for one, means in zip(design.interactions, start.factors, strict=True):
            one.begin(means)
        return state
    if design.fixed:
        now.x[0] = first_intercept(settings.loss, design.label, design.offset, design.weight)
    if settings.loss == "poisson":
        state.now = _initial_for_counts(passes, now, _priors(design, covariances, settings))
    return state


def _averages(design: Design, settings: FitSettings) -> bool:
    """Tell whether the likelihood is averaged over the posterior, which makes no difference for a squared error."""
    return bool(design.interactions) or (settings.method == "variational" and settings.loss != "linear")


def _is_skewed(settings: FitSettings) -> bool:
    """Tell whether mode and mean of the posterior differ; for a squared error they are equal."""
    return settings.method == "laplace" and settings.loss != "linear"


def _initial_for_counts(passes: Passes, now: Coefficients, priors: Priors) -> Coefficients:
    """Fit the logarithms of the counts by weighted least squares; keep ``now`` where its objective is lower.

    From means that are far too small a Newton step of the Poisson loss leads to means that are far too large.
    """
    design, none = passes.design, np.ones(len(passes.design))
    counts = design.label + 0.5
    logarithms = replace(design, label=np.log(counts).astype(np.float32), weight=(design.weight * counts))
    around = passes.like(logarithms, "linear")
    step = newton_step(around, around.linearise(none, now.u, now.x), now, priors, accuracy=0.1, probe=False)
    there = now.moved(step.change, 1.0)
    before, after = (passes.loss_at(one.u, one.x) + priors.inner(design, one, one) / 2 for one in (now, there))
    return there if after < before else now


def _iterate(
    passes: Passes, state: FitState, priors: Priors, covariances: Sequence[Covariance], settings: FitSettings
) -> tuple[Linearisation, NewtonStep]:
    """Take one Newton step, and update interactions and variances once."""
    design = passes.design
    passes.scale = 1.0 / state.dispersion
    kappa = averaging(settings.loss, state.variance)
    at = passes.linearise(kappa, state.now.u, state.now.x)
    accuracy = min(0.1, math.sqrt(state.step_size))
    previous = PreviousTilt(state.tilt, state.share) if _is_skewed(settings) else None
    disperses = settings.loss == "linear" and settings.estimate_dispersion
    probe = disperses or any(one.is_estimated for one in covariances)
    step = newton_step(passes, at, state.now, priors, accuracy, previous, probe)
    length = _line_search(passes, at, state.now, step, priors, kappa)
    state.now = state.now.moved(step.change, length)
    state.step_size = _size(design, step.change)
    moved = math.inf if design.interactions else 0.0
    # Where entities determine the label (separation), means and variances would oscillate without damping.
    turned = step.direction @ state.direction < 0
    state.share = max(0.1, state.share / 2) if turned else min(1.0, 2 * state.share)
    state.direction = step.direction
    if step.skew is not None:
        state.tilt = step.skew.tilt
    if _averages(design, settings):
        fresh = passes.row_variance(step.inverse, step.averaged) + design.variance
        if design.interactions and (state.warm or any(map(_is_near, state.history))):
            moved, fresh = passes.sweep_interactions(at.eta + length * step.direction, fresh)
        state.variance = state.share * fresh + (1 - state.share) * state.variance
    change = math.inf
    if (state.warm or len(state.history) >= _WARM_UP) and not any(one.is_held for one in design.interactions):
        change = update_variances(passes, state, at, step, priors, covariances, settings)
    entry = {"step": state.step_size, "change": change, "products": step.products}
    state.history.append({**entry, "interaction": moved})
    return at, step


def _is_near(entry: dict[str, Any]) -> bool:
    """Tell whether the main effects are close to convergence.

    Interactions then fit the residual instead of absorbing the main effects.
    """
    return bool(entry["step"] < _SETTLED_STEP and entry["change"] < _SETTLED_CHANGE)


def _priors(design: Design, covariances: Sequence[Covariance], settings: FitSettings) -> Priors:
    penalty = np.full(design.fixed, max(settings.penalty, LEAST_PENALTY))
    penalty[:1] = LEAST_PENALTY
    least = max(settings.penalty, LEAST_PENALTY)
    return Priors(penalty, least, [one.precision for one in covariances], settings.l1)


def fixed_precision(design: Design, settings: FitSettings) -> Array:
    """Return the precision of the normal prior of each fixed coefficient, shape (first_random,).

    Args:
        design: The data.
        settings: Settings of the fit.
    """
    priors = _priors(design, (), settings)
    return np.append(priors.penalty, np.full(design.first_random - design.fixed, priors.category_penalty))


def _line_search(
    passes: Passes, at: Linearisation, now: Coefficients, step: NewtonStep, priors: Priors, kappa: Floats
) -> float:
    """Halve the step until the slope of the objective at its end is at most half of the initial descent.

    The objective is convex, so that its minimum along the step is then near. Slopes are compared because the value of
    an averaged likelihood is not known. Returned is the length of the step, at most 1.
    """
    design = passes.design
    cross, square = priors.inner(design, now, step.change), priors.inner(design, step.change, step.change)
    rounding = 1e-9 * float(np.abs(at.residual) @ np.abs(step.direction))
    length = 1.0
    for _ in range(30):
        slope = passes.slope_along(at.eta, step.direction, length, kappa) + cross + length * square + step.linear
        if slope <= step.decrement / 2 + rounding:
            break
        length /= 2
    return length


def _size(design: Design, change: Coefficients) -> float:
    """Measure a step: the largest change of a fixed number, or root mean square change of an effect."""
    sizes = [float(np.abs(change.x[: design.fixed]).max(initial=0.0)), _root_mean_square(change.u)]
    return max(sizes + [_root_mean_square(change.x[group.columns]) for group in design.groups])


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


def _result(
    passes: Passes, state: FitState, at: Linearisation, step: NewtonStep, covariances: list[Array], fixed: Floats
) -> InMemoryFit:
    design, now = passes.design, state.now
    effects, uncertainties = effects_of(passes, now, at, step)
    averaged, shifts = by_effect(design, now, step.inverse, step.averaged)[1], list[Floats]()
    if step.skew is not None:
        shifts = by_effect(design, Coefficients(step.skew.u, step.skew.x), step.inverse, step.variances)[0]
    categories = [group.columns for group in design.groups if group.effect is None]
    return InMemoryFit(
        now.x[: design.fixed],
        _roots(np.diag(fixed)[: design.fixed]),
        [now.x[columns] for columns in categories],
        [_roots(np.diag(fixed)[one] if len(fixed) >= one.stop else step.variances[one, 0]) for one in categories],
        *(effects, uncertainties, averaged, shifts, covariances),
        fixed_covariance=fixed,
        by_chance=_by_chance(step, covariances),
        is_exact=design.is_dense,
        dispersion=state.dispersion,
        iterations=len(state.history),
        passes=passes.count,
        rows=float(design.weight.sum()),
        interactions=design.interactions,
        history=state.history,
    )


def _by_chance(step: NewtonStep, covariances: list[Array]) -> float | None:
    """Estimate the largest relative standard error of a deviation that random right sides cause.

    A change of V changes S = A(S) + V(S) by 1 / (1 - A' - V') as much, which is (S / (S - V))^2 where each entity has
    as many rows.
    """
    if step.means is None:
        return None
    shares = [
        error * np.diag(value) / np.maximum(np.diag(value) - np.diag(mean), 1e-2 * np.diag(value)) ** 2 / 2
        for value, mean, error in zip(covariances, step.means.means, step.means.errors, strict=True)
    ]
    return float(max(one.max() for one in shares))


def _roots(variances: Floats) -> Floats:
    """Compute standard deviations; rounding may make a variance near zero negative."""
    return np.asarray(np.sqrt(np.maximum(variances, 0.0)))
