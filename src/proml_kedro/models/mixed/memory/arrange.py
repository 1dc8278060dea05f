"""From terms and a plan to what the engine fits, and from what it found to what is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed import row_hashes
from proml_kedro.models.mixed.covariance import Covariance, first_covariance
from proml_kedro.models.mixed.fitted import Effect, Factors, Fixed, Learned
from proml_kedro.models.mixed.rows import Unit
from proml_kedro.models.mixed.score import of_level
from proml_kedro.models.mixed.spec import Loss
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import Earlier, Plan, held_factors, relaid_factors

if TYPE_CHECKING:
    from proml_kedro.models.mixed.memory.checkpoint import Start
    from proml_kedro.models.mixed.memory.design import Rows
    from proml_kedro.models.mixed.memory.interactions import Interaction
    from proml_kedro.models.mixed.memory.settings import Fit


def hash_rows(terms: Terms, columns: Columns, label: Array, weight: Array) -> row_hashes.Hashes:
    """A hash of each row: its label, weight, entities, and what their coefficients multiply."""
    codes = [one for one, _ in terms.effect_codes(columns)]
    names = [row_hashes.of_keys(levels.keys) for levels in terms.effect_levels]
    slopes = [terms.slopes(columns, one) for one in terms.effects]
    return row_hashes.of_rows([label, weight, *slopes], list(zip(codes, names, strict=True)))


def used_rows(terms: Terms, columns: Columns, plan: Plan) -> npt.NDArray[np.bool_] | slice:
    """The rows that something is estimated from."""
    if not plan.variances:
        return slice(None)
    used = [
        compact(codes, levels, active)[0] >= 0
        for (codes, levels), active in zip(terms.effect_codes(columns), plan.active, strict=True)
    ]
    return np.asarray(np.any(used, axis=0))


def arrange_rows(
    terms: Terms, columns: Columns, label: Array, weight: Array, unit: Unit, plan: Plan, seed: int
) -> Rows:
    """What the engine fits; entities that are held are in the offset, and numbered no more."""
    from proml_kedro.models.mixed.memory.design import Category, Effect, Factors, arrange

    use = used_rows(terms, columns, plan)
    if plan.variances:
        columns = {name: values[use] for name, values in columns.items()}
    codes = [
        compact(one, levels, active)
        for (one, levels), active in zip(terms.effect_codes(columns), plan.active, strict=True)
    ]
    numbers = terms.fixed(columns)
    return arrange(
        unit.remove(label[use]),
        (terms.offset(columns) + plan.offset[use]) / unit.deviation,
        numbers[:, :0] if plan.fixed else numbers,
        [] if plan.fixed else [Category(one, max(levels, 1)) for one, levels in terms.category_codes(columns)],
        [
            Effect(one, terms.slopes(columns, effect).astype(np.float32), levels)
            for effect, (one, levels) in zip(terms.effects, codes, strict=True)
        ],
        weight[use],
        [
            Factors(places, levels, one.rank, seed)
            for one, held, (places, levels) in zip(
                terms.factors, plan.factors, terms.factor_codes(columns), strict=True
            )
            if not held
        ],
        plan.variance[use] / unit.deviation**2,
    )


def compact(codes: Array, levels: int, active: Array | None) -> tuple[npt.NDArray[np.int32], int]:
    """Levels numbered among those that are estimated, -1 for others, and how many these are, at least 1."""
    if active is None:
        return codes, max(levels, 1)
    numbers = np.full(levels + 1, -1, np.int32)  # the last one is for -1
    numbers[active] = np.arange(len(active))
    return numbers[codes], max(len(active), 1)


def covariances(terms: Terms, unit: Unit, plan: Plan) -> list[Covariance]:
    """Of each random effect: where its estimation starts, or what it is."""
    found = []
    for one, active, known in zip(terms.effects, plan.active, plan.effects, strict=True):
        held = plan.variances or (active is not None and not len(active))
        if known is not None and (held or one.variance is None):
            found.append(Covariance(known.population / unit.deviation**2, not held, one.covariance == "diagonal"))
        else:
            found.append(first_covariance(one, unit.deviation))
    return found


def start(terms: Terms, earlier: Earlier, unit: Unit, plan: Plan) -> Start:
    """What the engine starts from: the earlier coefficients, zero for what is new."""
    from proml_kedro.models.mixed.memory.checkpoint import Start

    return Start(
        np.zeros(0) if plan.fixed else _earlier_fixed(terms, earlier, unit),
        [] if plan.fixed else [one / unit.deviation for one in _earlier_categories(terms, earlier)],
        [one / unit.deviation for one in _earlier_effects(terms, plan)],
        [one / math.sqrt(unit.deviation) for one in _earlier_factors(terms, earlier, plan)],
        earlier.learned.dispersion / unit.deviation**2,
    )


def _earlier_fixed(terms: Terms, earlier: Earlier, unit: Unit) -> Array:
    known = dict(zip(earlier.terms.fixed_keys, earlier.learned.fixed.numbers, strict=True))
    fixed = np.array([known.get(name, 0.0) for name in terms.fixed_keys])
    fixed[0] -= unit.mean
    return fixed / unit.deviation


def _earlier_categories(terms: Terms, earlier: Earlier) -> Iterator[Array]:
    positions = {name: position for position, name in enumerate(earlier.terms.categories)}
    for name, levels in zip(terms.categories, terms.category_levels, strict=True):
        values = np.zeros(max(len(levels), 1))
        if name in positions and len(levels):
            places = earlier.terms.category_levels[positions[name]].places(levels.keys)
            values = of_level(earlier.learned.fixed.categories[positions[name]], places)
        yield values


def _earlier_effects(terms: Terms, plan: Plan) -> Iterator[Array]:
    for one, levels, active, known in zip(terms.effects, terms.effect_levels, plan.active, plan.effects, strict=True):
        rows = len(levels) if active is None else len(active)
        if known is None or not rows:
            yield np.zeros((max(rows, 1), len(one.features)))
        else:
            yield known.means if active is None else known.means[active]


def _earlier_factors(terms: Terms, earlier: Earlier, plan: Plan) -> Iterator[Array]:
    for k, one in enumerate(terms.factors):
        if not plan.factors[k]:
            found = relaid_factors(terms, earlier, k)
            places = sum(max(len(levels), 1) + 1 for levels in terms.factor_levels[k])
            yield np.full((places, one.rank), np.nan) if found is None else found


def keep(
    terms: Terms,
    columns: Columns,
    weight: Array,
    hashes: Array,
    found: Fit,
    plan: Plan,
    earlier: Earlier | None,
    loss: Loss,
) -> Learned:
    """What was found and what was held, by entity in the precision in which it is saved."""
    effects, facts = [], _facts(terms, found, loss)
    for k, (codes, levels) in enumerate(terms.effect_codes(columns)):
        rows = np.bincount(codes[codes >= 0], weight[codes >= 0], max(levels, 1))
        sums = row_hashes.by_level(hashes, codes, max(levels, 1))
        fresh = Effect(found.effects[k], found.uncertainties[k], rows, found.covariances[k], sums)
        effects.append(_merged(plan.effects[k], fresh, plan.active[k]).stored())
    facts["entities"] = sum(len(one) for one in effects)
    interactions = iter(found.interactions)
    factors = [
        held_factors(terms, earlier, k) if held and earlier else _factors(next(interactions))
        for k, held in enumerate(plan.factors)
    ]
    fixed = Fixed(
        found.fixed,
        found.fixed_errors,
        [one.astype(np.float32) for one in found.categories],
        [one.astype(np.float32) for one in found.category_errors],
    )
    if plan.fixed and earlier is not None:
        fixed = earlier.learned.fixed
    for spec, one in zip(terms.factors, factors, strict=True):
        facts[f"deviation of {spec.title}"] = round(math.sqrt(one.spread().sum()), 4)
    if plan.variances:
        facts["changed entities"] = sum(len(one) for one in plan.active if one is not None)
    return Learned(loss, fixed, effects, factors, found.dispersion, {}, facts)


def _merged(old: Effect | None, fresh: Effect, active: Array | None) -> Effect:
    """The old effect with the levels that were estimated put in their places."""
    if active is None or old is None:
        return fresh
    if len(active):
        old.means[active], old.covariances[active] = fresh.means, fresh.covariances
        old.rows[active] = fresh.rows[active]
        if old.digests is not None and fresh.digests is not None:
            old.digests[active] = fresh.digests[active]
    return old


def _facts(terms: Terms, found: Fit, loss: Loss) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "iterations": found.iterations,
        "passes": found.passes,
        "converged": found.converged,
        "entities": 0,
        "log likelihood": round(found.log_likelihood, 2),
    }
    for spec, population in zip(terms.effects, found.covariances, strict=True):
        for feature, variance in zip(spec.features, np.diag(population), strict=True):
            facts[f"deviation of {spec.title} {feature}"] = round(math.sqrt(variance), 4)
    if loss == "linear":
        facts["residual deviation"] = round(math.sqrt(found.dispersion), 4)
    return facts


def _factors(found: Interaction) -> Factors:
    starts: Sequence[int] = [*(one.start for one in found.fields), len(found.table)]
    return Factors(found.table.astype(np.float32), found.variances.astype(np.float32), list(starts))
