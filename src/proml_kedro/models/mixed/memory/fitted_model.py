"""Fitted model from the result of a fit in memory: estimated entities take their places among the kept ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed import row_hashes
from proml_kedro.models.mixed.coding import Coding, restricted_shift
from proml_kedro.models.mixed.fitted import FittedEffect, FittedFactors, FittedFixed, FittedModel
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.interactions import Interaction
from proml_kedro.models.mixed.memory.problem import FitProblem

_MOST_KEPT = 1_024  # fixed effects whose covariance is kept: 8 MB


def fitted_model(problem: FitProblem, fit: InMemoryFit, notes: Sequence[str], l1: bool) -> FittedModel:
    """Combine what was estimated and what was kept, in the precision in which it is saved.

    Args:
        problem: Terms, rows and plan.
        fit: Result, in the unit of the labels.
        notes: What cannot be estimated, or is approximate.
        l1: Whether fixed effects may be held at zero, and have no normal distribution then.
    """
    plan, previous = problem.plan, problem.previous
    codes = enumerate(problem.terms.effect_codes(problem.columns))
    effects = [_effect(problem, fit, k, *one) for k, one in codes]
    interactions = iter(fit.interactions)
    factors = [
        previous.locked_factors(problem.terms, k) if locked and previous else _factors(next(interactions))
        for k, locked in enumerate(plan.factors_locked)
    ]
    if plan.fixed_locked and previous is not None:
        fixed = previous.fitted.fixed
    else:
        categories, errors = (
            [one.astype(np.float32) for one in values] for values in (fit.categories, fit.category_errors)
        )
        fixed = FittedFixed(fit.fixed, fit.fixed_errors, categories, errors, _covariance(fit, l1), _lacking(problem))
    facts = _facts(problem, fit)
    if "log likelihood" in facts and problem.loss == "linear" and fixed.covariance is not None:
        coding = Coding.of(problem.terms, fixed.lacking, raw=True)
        facts["log likelihood"] = round(fit.log_likelihood + restricted_shift(coding, fixed.covariance), 4)
    facts["entities"] = sum(len(one) for one in effects)
    for spec, one in zip(problem.terms.factors, factors, strict=True):
        facts[f"deviation of {spec.title}"] = round(math.sqrt(one.spread().sum()), 4)
    if plan.variances_locked:
        facts["changed entities"] = sum(len(one) for one in plan.active if one is not None)
    facts["notes"] = list(notes)
    return FittedModel(problem.loss, fixed, effects, factors, fit.dispersion, {}, facts)


def _covariance(fit: InMemoryFit, l1: bool) -> Array | None:
    """Return the covariance of the fixed effects if it is of all of them, and not too large to keep."""
    fitted = len(fit.fixed) + sum(len(one) for one in fit.categories)
    return fit.fixed_covariance if not l1 and len(fit.fixed_covariance) == fitted <= _MOST_KEPT else None


def _lacking(problem: FitProblem) -> list[bool]:
    return [bool((codes < 0).any()) for codes, _ in problem.terms.category_codes(problem.columns)]


def _effect(problem: FitProblem, fit: InMemoryFit, k: int, codes: Array, levels: int) -> FittedEffect:
    """Combine the random effect at position k, by the entity of each row, with the previous one."""
    rows = np.bincount(codes[codes >= 0], problem.weight[codes >= 0], max(levels, 1))
    sums = row_hashes.by_level(problem.hashes, codes, max(levels, 1))
    means = fit.effects[k] + fit.shifts[k] if fit.shifts else fit.effects[k]  # scores are averaged around means
    fresh = FittedEffect(means, fit.uncertainties[k], rows, fit.covariances[k], sums, fit.averaged[k])
    return _merged(problem.plan.effects[k], fresh, problem.plan.active[k]).in_float32()


def _merged(old: FittedEffect | None, fresh: FittedEffect, active: Array | None) -> FittedEffect:
    """Put the estimated levels into their places in the previous effect."""
    if active is None or old is None:
        return fresh
    if len(active):
        old.means[active], old.covariances[active] = fresh.means, fresh.covariances
        old.rows[active] = fresh.rows[active]
        if old.digests is not None and fresh.digests is not None:
            old.digests[active] = fresh.digests[active]
        if old.averaged is not None:
            old.averaged[active] = fresh.averaged
    return old


def _factors(interaction: Interaction) -> FittedFactors:
    starts = [*(one.start for one in interaction.fields), len(interaction.table)]
    means, variances = (one.astype(np.float32) for one in (interaction.table, interaction.variances))
    return FittedFactors(means, variances, starts)


def _facts(problem: FitProblem, fit: InMemoryFit) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rows": len(problem.label),
        "iterations": fit.iterations,
        "passes": fit.passes,
        "converged": fit.converged,
        "entities": 0,
    }
    if math.isfinite(fit.log_likelihood) and not problem.plan.variances_locked:  # else it is of some rows alone
        facts["log likelihood"] = round(fit.log_likelihood, 4)
    for spec, population in zip(problem.terms.effects, fit.covariances, strict=True):
        for feature, variance in zip(spec.features, np.diag(population), strict=True):
            facts[f"deviation of {spec.title} {feature}"] = round(math.sqrt(variance), 4)
    if problem.loss == "linear":
        facts["residual deviation"] = round(math.sqrt(fit.dispersion), 4)
    return facts
