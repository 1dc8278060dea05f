"""Streamed fit of a component: from its spec and examples to a fitted model."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.component import Array, Examples, FitContext
from proml_kedro.models.mixed.covariance import Covariance, first_covariance
from proml_kedro.models.mixed.effect_spec import INTERCEPT, RandomEffectSpec
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import FittedEffect, FittedFixed, FittedModel
from proml_kedro.models.mixed.notes import of_counts, of_covariance, of_no_convergence
from proml_kedro.models.mixed.rows import check_label, report_omitted
from proml_kedro.models.mixed.score import shares
from proml_kedro.models.mixed.spec import Loss, MixedSpec
from proml_kedro.models.mixed.streamed.fit import StreamedFit, divide, fit
from proml_kedro.models.mixed.streamed.problem import StandardisedProblem, StreamedProblem
from proml_kedro.models.mixed.streamed.storage.entities import RowBounds
from proml_kedro.models.mixed.streamed.warm_start import StreamedStart
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import PreviousModel

logger = logging.getLogger(__name__)


def fit_model(
    spec: MixedSpec,
    terms: Terms,
    periods: Sequence[Examples],
    previous: PreviousModel | None,
    context: FitContext,
) -> FittedModel:
    """Fit a model by streaming; the arguments are those of every engine, see :data:`.component.Engine`.

    The model has no :meth:`~proml_kedro.models.mixed.spec.MixedSpec.streaming_obstacles`. ``terms`` learn entities and
    scales.

    Raises:
        UserError: No example can be used, or a label is not in the domain of the loss.
    """
    effect, loss = spec.coefficients[0], spec.loss_for(context.task)
    for one in periods:
        check_label(_counted_labels(one), loss, context.key)
    problem = _problem(spec, terms, loss, context.seed)
    position = previous.find_effect(effect.title, effect.features) if previous else None
    start = StreamedStart(problem, previous, position) if previous else None
    with _working_folder(context.checkpoints) as folder:
        rows = divide(problem, periods, folder)
        report_omitted(rows.rows, sum(len(one) for one in periods), context.key)
        standardised = StandardisedProblem(problem, rows, start.scales if start else None)
        covariance = _covariance(effect, start, standardised.unit.deviation)
        threads = context.hardware.threads
        found = fit(standardised, covariance, threads, folder, start, max_sweeps=spec.max_iterations)
    if found.left_out:
        logger.info("%s: %s rows are left out by max_rows", context.key, f"{found.left_out:,}")
    notes = list(_notes(effect, problem, found, standardised.unit.deviation))
    for note in notes:
        logger.warning("%s: %s", context.key, note)
    # There is no coefficient for being missing: a missing number is scored as in training, as the mean.
    scales = {name: replace(scale, missing=False) for name, scale in found.scales.items()}
    terms.take_over(scales, Levels(found.effects.names))
    effects, fixed = found.effects, [list(problem.features).index(name) for name in [INTERCEPT, *terms.numbers]]
    return FittedModel(
        loss,
        FittedFixed(found.mean[fixed], found.errors[fixed]),
        effects=[FittedEffect(effects.means, effects.covariances, effects.rows, found.covariance)],
        dispersion=found.dispersion,
        importance=_input_shares(problem, found),
        facts={**_facts(effect.title, problem, found), "notes": notes},
    )


def _problem(spec: MixedSpec, terms: Terms, loss: Loss, seed: int) -> StreamedProblem:
    effect = spec.coefficients[0]
    return StreamedProblem(
        entity=effect.entity,
        features=effect.features,
        fixed=terms.numbers,
        offset=spec.offset,
        penalty=spec.penalty,
        variational=spec.method == "variational",
        loss=loss,
        exposure=spec.exposure,
        bounds=RowBounds(effect.min_rows, effect.max_rows, seed),
    )


@contextmanager
def _working_folder(checkpoints: Path | None) -> Iterator[Path]:
    """Give the folder of checkpoints, or a private folder that is removed after the block.

    Files that are memory-mapped from it stay readable until the mappings are gone.
    """
    if checkpoints is not None:
        yield checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="proml_kedro-", ignore_cleanup_errors=True) as private:
        yield Path(private) / "fit"  # which `divide` makes anew, with the rights of any folder


def _covariance(spec: RandomEffectSpec, start: StreamedStart | None, deviation: float) -> Covariance:
    """Return the covariance, or its initial value, for margins in multiples of ``deviation``."""
    known = start.effect if start else None
    if known is None or spec.variance is not None:
        return first_covariance(spec, deviation)
    return Covariance(known.population / deviation**2, True, spec.covariance == "diagonal")


def _counted_labels(examples: Examples) -> Array:
    """Select the labels that are finite and whose weights are positive."""
    counts = np.isfinite(examples.label)
    if examples.weight is not None:
        counts &= np.isfinite(examples.weight) & (examples.weight > 0)
    return examples.label[counts]


def _notes(effect: RandomEffectSpec, problem: StreamedProblem, found: StreamedFit, unit: float) -> Iterator[str]:
    """Say what cannot be estimated, and what the fit has not reached."""
    for name, scale in found.scales.items():
        if scale.constant:
            yield f"{name} is constant and says nothing"
        if scale.missing and name in problem.fixed:
            yield f"{name} is missing in some rows, where it counts as the mean"
    yield from of_counts(effect, len(found.effects.names), found.rows, problem.loss != "poisson")
    progress = found.progress
    if not progress.converged:
        yield of_no_convergence(f"{progress.sweeps} sweeps", "the fixed effects", progress.history[-1])
    yield from of_covariance(effect, found.covariance, unit)


def _facts(title: str, problem: StreamedProblem, found: StreamedFit) -> dict[str, Any]:
    progress, entities = found.progress, len(found.effects.names)
    deviations: Array = np.sqrt(np.diag(found.covariance))
    facts = {
        "rows": found.rows,
        "iterations": progress.sweeps,
        "passes": round(sum(one["passes"] * one["entities"] for one in progress.history) / max(entities, 1), 1),
        "converged": progress.converged,
        "entities": entities,
        "engine": "streamed",
        **{
            f"deviation of {title} {feature}": round(float(deviation), 4)
            for feature, deviation in zip(problem.features, deviations, strict=True)
        },
    }
    if problem.loss == "linear":
        facts["residual deviation"] = round(math.sqrt(found.dispersion), 4)
    return facts


def _input_shares(problem: StreamedProblem, found: StreamedFit) -> dict[str, float]:
    """Compute the share of each input in the standard deviations of the entity's effect, the numbers and the offset.

    Numbers are standardised. The root mean square of a coefficient is therefore that of its contribution, if the
    number is independent of the entity.
    """
    sizes = dict.fromkeys(problem.entity, 0.0)
    for position, name in enumerate(problem.features):
        added = math.sqrt(found.spread[position] ** 2 + (name != INTERCEPT) * found.mean[position] ** 2)
        for one in problem.entity if name == INTERCEPT else [name]:
            sizes[one] = sizes.get(one, 0.0) + added / (len(problem.entity) if name == INTERCEPT else 1)
    added_as_it_is = [name for name in (problem.offset, problem.exposure) if name is not None]
    for one in added_as_it_is:
        sizes[one] = sizes.get(one, 0.0) + found.offset_deviation / len(added_as_it_is)
    return shares(sizes)
