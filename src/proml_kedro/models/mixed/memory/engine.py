"""Fit of a component in memory: from its examples to a fitted model."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import reduce

import numpy as np

from proml_kedro.models.component import Examples, FitContext
from proml_kedro.models.likelihoods import BOUND
from proml_kedro.models.mixed.explained import explained_variance
from proml_kedro.models.mixed.fitted import FittedModel
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.fitted_model import fitted_model
from proml_kedro.models.mixed.memory.freedom import covariance_gradients
from proml_kedro.models.mixed.memory.likelihood_facts import likelihood_of
from proml_kedro.models.mixed.memory.probes import PROBES
from proml_kedro.models.mixed.memory.problem import FitProblem
from proml_kedro.models.mixed.memory.quadrature_fit import check_size, maximise_quadrature
from proml_kedro.models.mixed.memory.separation import separation_notes
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.memory.structure import structure_notes
from proml_kedro.models.mixed.notes import of_covariance, of_no_convergence, of_weights
from proml_kedro.models.mixed.rows import check_label, sample, usable, weights
from proml_kedro.models.mixed.score import input_shares
from proml_kedro.models.mixed.spec import Loss, MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import PreviousModel

logger = logging.getLogger(__name__)

_WIDE = 2.0  # deviation of an effect in log-odds: a factor of 7 in the odds

_TOO_MANY = "more columns beside the largest effect than can be dense in time"


def fit_model(
    spec: MixedSpec,
    terms: Terms,
    periods: Sequence[Examples],
    previous: PreviousModel | None,
    context: FitContext,
) -> FittedModel:
    """Fit a model in memory.

    Args:
        spec: The component.
        terms: Its terms, which learn levels and scales.
        periods: Training rows, one set after the other.
        previous: Model to start from, or None.
        context: Threads, seed, and the folder of checkpoints.

    Raises:
        UserError: No example can be used, or a label is not in the domain of the loss.
    """
    loss, examples = spec.loss_for(context.task), reduce(Examples.join, periods)
    examples = _sample(spec, terms, usable(examples, spec.exposure, context.key), context)
    check_label(examples.label, loss, context.key)
    columns, label, weight = examples.columns, examples.label, weights(examples)
    with terms.remembering(columns):
        constant = terms.learn(columns, weight, previous.terms if previous else None)
        if previous is not None:
            terms.hold(spec, previous.terms)
        problem = FitProblem.of(spec, terms, (columns, label, weight), loss, previous)
        result = _fit(problem, settings_for(spec, loss, not problem.plan.variances_locked), context)
        notes = [f"{name} is constant and says nothing" for name in constant]
        notes += of_weights(len(weight), float(weight.sum()))
        notes += [*structure_notes(problem), *separation_notes(problem, result), *_fit_notes(result, problem, spec)]
        for note in notes:
            logger.warning("%s: %s", context.key, note)
        model = fitted_model(problem, result.restored(problem.unit), notes, spec.l1 > 0)
        if model.fixed.covariance is not None and result.is_exact:
            model.fixed.gradients = covariance_gradients(problem, result, spec.penalty)
    if (value := model.facts.get("log likelihood")) is not None:
        known = likelihood_of(problem, spec, value, result.converged)
        here = known.maximised or known.kind == BOUND
        model.facts["log likelihood is"] = known.kind if here else f"{known.kind}, not at its maximum"
        model.facts["likelihood"] = asdict(known)
    model.importance = input_shares(terms, model, columns)
    if not problem.plan.variances_locked and (explained := explained_variance(terms, model, columns, label, weight)):
        model.facts |= explained.as_facts()
    return model


def _fit(problem: FitProblem, settings: FitSettings, context: FitContext) -> InMemoryFit:
    """Fit, with quadrature from the variational fit on, which is near also where Laplace's approximation is not."""
    design, covariances = problem.design(context.seed), problem.covariances()
    exact = settings.points > 1
    if exact:
        check_size(design, settings.points, context.key)
    first = replace(settings, method="variational") if exact else settings
    start, threads = problem.initial_coefficients(), context.hardware.threads
    found = fit(design, covariances, first, threads, start, context.checkpoints)
    return maximise_quadrature(design, found, settings, covariances[0].is_estimated) if exact else found


def settings_for(spec: MixedSpec, loss: Loss, estimate_dispersion: bool) -> FitSettings:
    """Take the settings of a fit from the component.

    Args:
        spec: The component.
        loss: Loss that is minimised.
        estimate_dispersion: Whether the dispersion is estimated.
    """
    return FitSettings(
        loss=loss,
        method=spec.method,
        penalty=spec.penalty,
        l1=spec.l1,
        max_iterations=spec.max_iterations,
        points=spec.nagq,
        estimate_dispersion=estimate_dispersion,
    )


def _sample(spec: MixedSpec, terms: Terms, examples: Examples, context: FitContext) -> Examples:
    """Draw the samples that ``max_rows`` asks for."""
    generator = np.random.default_rng(context.seed)
    stays = np.ones(len(examples), np.bool_)
    for one in spec.coefficients:
        if one.max_rows is not None:
            stays &= sample(terms.number(examples.columns, one), one.max_rows, generator)
    if stays.all():
        return examples
    logger.info("%s: %s rows are left out by max_rows", context.key, f"{np.count_nonzero(~stays):,}")
    return examples.take(stays)


def _fit_notes(fit: InMemoryFit, problem: FitProblem, spec: MixedSpec) -> Iterator[str]:
    """Say what the fit has not reached, and where what it reached is at an edge or a poor approximation."""
    if not fit.converged:
        yield of_no_convergence(f"{fit.iterations} steps", "margins", fit.history[-1])
    if fit.by_chance is not None:
        how = f"deviations rest on {PROBES} random right sides, which alone move them by {fit.by_chance:.1%}"
        rest = "errors of single entities are those given all others, and there is no log likelihood"
        if problem.loss != "linear" and spec.method != "pql":
            rest = f"labels are averaged as if effects were independent (up to 8 % of nested deviations), {rest}"
        yield f"approximate: {_TOO_MANY}: {how}; {rest}"
    elif not fit.is_exact:  # variances are given
        rest = "fixed coefficients and errors of single entities are those given all others"
        yield f"approximate: {_TOO_MANY}: {rest}, and there is no log likelihood"
    if not problem.plan.variances_locked:
        for effect, covariance, means in zip(problem.terms.effects, fit.covariances, fit.effects, strict=True):
            if len(means) > 1:  # of one entity it has been said that there is no variance
                yield from of_covariance(effect, covariance, 1.0)
    deviation = math.sqrt(max(float(np.diag(one).max()) for one in fit.covariances))
    if spec.method == "laplace" and spec.nagq == 1 and problem.loss == "logistic" and deviation > _WIDE:
        known = "it is wrong where events are rare and entities have few rows; compare with method: variational"
        yield f"'laplace' finds a deviation of {deviation:.1f}: {known}"
