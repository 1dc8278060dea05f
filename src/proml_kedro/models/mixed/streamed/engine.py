"""From a component's spec to a streamed fit, and from what that finds to what a component has learned."""

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
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import Effect, Fixed, Learned
from proml_kedro.models.mixed.rows import check_label, say_left_out
from proml_kedro.models.mixed.spec import INTERCEPT, MixedSpec, RandomEffectSpec
from proml_kedro.models.mixed.streamed.fit import Found, divide, fit
from proml_kedro.models.mixed.streamed.problem import Measured, Model
from proml_kedro.models.mixed.streamed.storage.entities import Bounds
from proml_kedro.models.mixed.streamed.warm_start import Start
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import Earlier

logger = logging.getLogger(__name__)


def learn(
    spec: MixedSpec, terms: Terms, examples: Sequence[Examples], earlier: Earlier | None, context: FitContext
) -> Learned:
    """Fit, and have ``terms`` know the entities and scales.

    Args:
        spec: What; see :func:`.choice.obstacles`.
        terms: Learn names and scales.
        examples: All rows, one set after the other.
        earlier: A model to go on from.
        context: Threads, and a folder to go on from.
    """
    effect, loss = spec.coefficients[0], spec.loss_for(context.task)
    for one in examples:
        check_label(_counted(one), loss, context.key)
    bounds = Bounds(effect.min_rows, effect.max_rows, context.seed)
    how = terms.numbers, spec.offset, spec.penalty, spec.method == "variational", loss, spec.exposure, bounds
    model = Model(effect.entity, effect.features, *how)
    start = Start(model, earlier, earlier.effect(effect.title, effect.features)) if earlier else None
    with _folder(context.checkpoints) as folder:
        rows = divide(model, examples, folder)
        say_left_out(rows.rows, sum(len(one) for one in examples), context.key)
        measured = Measured(model, rows, start.scales if start else None)
        covariance = _covariance(effect, start, measured.unit.deviation)
        found = fit(measured, covariance, context.hardware.threads, folder, start, max_sweeps=spec.max_iterations)
    _say(model, found, context.key)
    # Without a coefficient for being missing: a missing number is scored as it was learned from, as the mean.
    scales = {name: replace(scale, missing=False) for name, scale in found.scales.items()}
    terms.take_over(scales, Levels(found.effects.names))
    effects, fixed = found.effects, [list(model.features).index(name) for name in [INTERCEPT, *terms.numbers]]
    return Learned(
        loss,
        Fixed(found.mean[fixed], found.errors[fixed]),
        effects=[Effect(effects.means, effects.covariances, effects.rows, found.covariance)],
        dispersion=found.dispersion,
        importance=_shares(model, found),
        facts=_facts(effect.title, model, found),
    )


@contextmanager
def _folder(checkpoints: Path | None) -> Iterator[Path]:
    """Where to work: what is to outlive the run, or a folder that nobody else may look into while the block runs.

    What is mapped from it stays until nobody looks at it any more.
    """
    if checkpoints is not None:
        yield checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="proml_kedro-", ignore_cleanup_errors=True) as private:
        yield Path(private) / "fit"  # which `divide` makes anew, with the rights of any folder


def _covariance(spec: RandomEffectSpec, start: Start | None, deviation: float) -> Covariance:
    """Where its estimation starts, or what it is, for margins in multiples of ``deviation``."""
    known = start.effect if start else None
    if known is None or spec.variance is not None:
        return first_covariance(spec, deviation)
    return Covariance(known.population / deviation**2, True, spec.covariance == "diagonal")


def _counted(examples: Examples) -> Array:
    """The labels of examples that count, as far as labels and weights tell."""
    counts = np.isfinite(examples.label)
    if examples.weight is not None:
        counts &= np.isfinite(examples.weight) & (examples.weight > 0)
    return examples.label[counts]


def _say(model: Model, found: Found, key: str) -> None:
    if found.left_out:
        logger.info("%s: %s rows are left out by max_rows", key, f"{found.left_out:,}")
    for name, scale in found.scales.items():
        if scale.constant:
            logger.warning("%s: %s is constant and says nothing", key, name)
        if scale.missing and name in model.fixed:
            logger.warning("%s: %s is missing in some rows, where it counts as the mean", key, name)
    if not found.progress.converged:
        last = found.progress.history[-1]
        logger.warning(
            "%s: stopped after %d sweeps without converging: the last moved the fixed effects by %.2g, and variances "
            "by %.1f %%; raise max_iterations to go on",
            key,
            found.progress.sweeps,
            last["step"],
            100 * last["change"],
        )


def _facts(title: str, model: Model, found: Found) -> dict[str, Any]:
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
            for feature, deviation in zip(model.features, deviations, strict=True)
        },
    }
    if model.loss == "linear":
        facts["residual deviation"] = round(math.sqrt(found.dispersion), 4)
    return facts


def _shares(model: Model, found: Found) -> dict[str, float]:
    """Standard deviation of what each input adds, summing to 1: of an entity's effect, a number, and the offset.

    Numbers are standardised, so that a coefficient's root mean square is that of what it adds, if which entity a row
    has says nothing of the number.
    """
    sizes = dict.fromkeys(model.entity, 0.0)
    for position, name in enumerate(model.features):
        added = math.sqrt(found.spread[position] ** 2 + (name != INTERCEPT) * found.mean[position] ** 2)
        for one in model.entity if name == INTERCEPT else [name]:
            sizes[one] = sizes.get(one, 0.0) + added / (len(model.entity) if name == INTERCEPT else 1)
    added_as_it_is = [name for name in (model.offset, model.exposure) if name is not None]
    for one in added_as_it_is:
        sizes[one] = sizes.get(one, 0.0) + found.offset_deviation / len(added_as_it_is)
    total = sum(sizes.values()) or 1.0
    return {name: size / total for name, size in sizes.items()}
