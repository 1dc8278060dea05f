"""What each term of a fitted model adds to the margin of rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed.fitted import Effect, Learned
from proml_kedro.models.mixed.spec import INTERCEPT
from proml_kedro.models.mixed.terms import Terms

Floats = npt.NDArray[np.float64]


def contributions(terms: Terms, learned: Learned, columns: Columns) -> Iterator[tuple[Sequence[str], Floats]]:
    """What each term adds to the margin, shape (n,), and the inputs that it comes from."""
    yield from fixed(terms, learned, columns)
    if terms.offset_names:
        yield terms.offset_names, terms.offset(columns)
    for one, (codes, _), effect in zip(terms.effects, terms.effect_codes(columns), learned.effects, strict=True):
        added = of_level(effect.means, codes) * terms.slopes(columns, one)
        for position, feature in enumerate(one.features):
            yield (one.entity if feature == INTERCEPT else (feature,)), added[:, position]
    for spec, (places, _), factors in zip(terms.factors, terms.factor_codes(columns), learned.factors, strict=True):
        yield spec.entity, factors.moments(places)[0]


def fixed(terms: Terms, learned: Learned, columns: Columns) -> Iterator[tuple[Sequence[str], Floats]]:
    """The same of the fixed effects alone."""
    design = terms.fixed(columns)
    yield (), design[:, 0] * learned.fixed.numbers[0]
    for position, name in enumerate(terms.fixed_names, start=1):
        yield (name,), design[:, position] * learned.fixed.numbers[position]
    known = zip(terms.categories, terms.category_codes(columns), learned.fixed.categories, strict=True)
    for name, (codes, _), coefficients in known:
        yield (name,), of_level(coefficients, codes)


def moments(terms: Terms, learned: Learned, columns: Columns) -> tuple[Floats, Floats]:
    """Mean and variance of the margin over the posterior, the terms taken as independent; shape (n,) each."""
    mean = terms.fixed(columns) @ learned.fixed.numbers + terms.offset(columns)
    for (codes, _), coefficients in zip(terms.category_codes(columns), learned.fixed.categories, strict=True):
        mean += of_level(coefficients, codes)
    variance = np.zeros(len(mean))
    for one, (codes, _), effect in zip(terms.effects, terms.effect_codes(columns), learned.effects, strict=True):
        z = terms.slopes(columns, one)
        mean += np.einsum("na,na->n", of_level(effect.means, codes), z)
        variance += effect_variance(effect, codes, z)
    for (places, _), factors in zip(terms.factor_codes(columns), learned.factors, strict=True):
        added, spread = factors.moments(places)
        mean, variance = mean + added, variance + spread
    return mean, variance


def effect_variance(effect: Effect, codes: Array, z: Floats) -> Floats:
    """Z'Vz with the covariance V of the row's entity, or of the population where it has none; shape (n,)."""
    each = of_level(effect.covariances, codes)
    each[codes < 0] = effect.population
    return np.asarray(np.einsum("na,nab,nb->n", z, each, z))


def of_level(values: Array, codes: Array) -> Floats:
    """The values of each row's level in float64, zero where the code is -1; shape (n, ...)."""
    found: Floats = values[np.maximum(codes, 0)].astype(np.float64)
    found[codes < 0] = 0.0
    return found
