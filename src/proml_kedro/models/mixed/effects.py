"""Effects of a fitted model one by one: of an entity, and of the entities that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from proml_kedro.errors import Mistake, UserError
from proml_kedro.models.component import Array
from proml_kedro.models.effects import Contrast, EntityEffect, FixedEffect, Population
from proml_kedro.models.mixed.coding import Coding, contrast, raw_population
from proml_kedro.models.mixed.effect_spec import RandomEffectSpec
from proml_kedro.models.mixed.encoding import SEPARATOR, Names
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
from proml_kedro.models.mixed.terms import Terms

_LEAST_SHARE = 0.01  # a dimension with a smaller share of the interaction's variance is not counted


def fixed_effects(terms: Terms, model: FittedModel) -> Iterator[FixedEffect]:
    """List all fixed effects, categories level by level: less the first one where their covariance is known."""
    fixed = model.fixed
    if fixed.covariance is not None:
        coding = Coding.of(terms, fixed.lacking, raw=False)
        values, covariance = coding.apply(fixed)
        in_units = Coding.of(terms, fixed.lacking, raw=True)
        raw, raw_covariance = in_units.apply(fixed)
        errors, raw_errors = (np.sqrt(np.maximum(np.diag(one), 0.0)) for one in (covariance, raw_covariance))
        freedom = coding.freedom(fixed), in_units.freedom(fixed)
        figures = zip(*(one.tolist() for one in (values, errors, raw, raw_errors)), *freedom, strict=True)
        for one, known in zip(coding.names, figures, strict=True):
            yield FixedEffect(*one, *known)
        return
    for name, value, error in zip(terms.fixed_keys, fixed.numbers.tolist(), fixed.errors.tolist(), strict=True):
        deviation = terms.deviation(name)
        yield FixedEffect(name, None, value, error, None if deviation is None else value / deviation)
    every = zip(terms.categories, terms.category_levels, fixed.categories, fixed.category_errors, strict=True)
    for name, levels, values, errors in every:
        for place in range(len(levels)):
            yield FixedEffect(name, levels.name(place), float(values[place]), float(errors[place]), None)


def contrast_of(terms: Terms, model: FittedModel, text: str) -> Contrast:
    """Compute a linear combination of fixed effects; see :func:`.coding.contrast`.

    Raises:
        UserError: A name is not known, or the covariance of the fixed effects is not.
    """
    if model.fixed.covariance is None:
        message = "the covariance of the fixed effects was not kept: with `l1`, streamed, or of too many columns"
        raise UserError(Mistake("", message, "option --contrast"))
    return contrast(Coding.of(terms, model.fixed.lacking, raw=True), model.fixed, text)


def population(terms: Terms, model: FittedModel) -> Iterator[Population]:
    """List the variance components: each coefficient of each random effect."""
    for spec, effect in zip(terms.effects, model.effects, strict=True):
        deviations, correlations = _parts(effect.population)
        raw, raw_correlations = _parts(raw_population(spec, effect.population, terms.scales))
        entities = int(np.count_nonzero(effect.rows))
        for k, feature in enumerate(spec.features):
            before, raw_before = correlations[k, :k].tolist(), raw_correlations[k, :k].tolist()
            unit = terms.unit(spec, feature)
            yield Population(
                spec.title, feature, entities, float(deviations[k]), before, unit, float(raw[k]), raw_before
            )
    for one, fields, factors in zip(terms.factors, terms.factor_levels, model.factors, strict=True):
        spread = factors.spread()
        alive = np.count_nonzero(spread > _LEAST_SHARE * spread.sum())
        levels = sum(map(len, fields))
        yield Population(one.title, f"{alive} of {one.rank} factors", levels, float(np.sqrt(spread.sum())), [])


def of_entity(terms: Terms, model: FittedModel, entity: Mapping[str, str]) -> Iterator[EntityEffect]:
    """List the coefficients of an entity, in every effect whose inputs are all given.

    Args:
        terms: Encodings of the model.
        model: Coefficients of the model.
        entity: Value of each input.
    """
    for spec, levels, effect in zip(terms.effects, terms.effect_levels, model.effects, strict=True):
        if set(spec.entity) <= set(entity):
            name = SEPARATOR.join(entity[one] for one in spec.entity)
            yield from _coefficients(spec, effect, int(levels.encode(Names.of([name]))[0]), name)


def most_different(terms: Terms, model: FittedModel, count: int) -> Iterator[EntityEffect]:
    """List for each coefficient of each effect the ``count`` entities that are farthest from zero, farthest first."""
    for spec, levels, effect in zip(terms.effects, terms.effect_levels, model.effects, strict=True):
        for position in range(len(spec.features) if len(levels) else 0):
            values = np.asarray(effect.means[:, position])
            size = np.abs(values)
            chosen = np.argpartition(size, -min(count, len(size)))[-min(count, len(size)) :]
            chosen = chosen[np.argsort(-size[chosen], kind="stable")]
            smaller = np.searchsorted(np.sort(values), values[chosen]) / len(values)
            for place, quantile in zip(chosen.tolist(), smaller.tolist(), strict=True):
                yield _coefficient(spec, effect, position, place, levels.name(place), quantile)


def _coefficients(spec: RandomEffectSpec, effect: FittedEffect, place: int, name: str) -> Iterator[EntityEffect]:
    for position in range(len(spec.features)):
        values, known = effect.means[:, position], place >= 0
        quantile = float((values < values[place]).mean()) if known else None
        yield _coefficient(spec, effect, position, place, name, quantile)


def _coefficient(
    spec: RandomEffectSpec, effect: FittedEffect, position: int, place: int, name: str, quantile: float | None
) -> EntityEffect:
    known = place >= 0
    population = float(np.sqrt(effect.population[position, position]))
    value = float(effect.means[place, position]) if known else 0.0
    error = float(np.sqrt(float(effect.covariances[place, position, position]))) if known else population
    return EntityEffect(
        spec.title,
        name.replace(SEPARATOR, " x "),
        spec.features[position],
        known,
        float(effect.rows[place]) if known else 0.0,
        value,
        error,
        population,
        value / population,
        quantile,
    )


def _parts(covariance: Array) -> tuple[Array, Array]:
    """Split a covariance into standard deviations, shape (d,), and correlations."""
    deviations: Array = np.sqrt(np.diag(covariance))
    return deviations, covariance / np.outer(deviations, deviations)
