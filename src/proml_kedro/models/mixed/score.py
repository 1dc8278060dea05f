"""Contribution of each term of a fitted model to the margin of rows, and its posterior variance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed.effect_spec import INTERCEPT
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
from proml_kedro.models.mixed.terms import Terms

Floats = npt.NDArray[np.float64]

_ROWS_FOR_IMPORTANCE = 10_000


def contributions(terms: Terms, model: FittedModel, columns: Columns) -> Iterator[tuple[Sequence[str], Floats]]:
    """Compute what each term adds to the margin.

    Yields:
        Inputs of the term, and its contribution to each row, shape (n,).
    """
    yield from fixed_contributions(terms, model, columns)
    if terms.offset_names:
        yield terms.offset_names, terms.offset(columns)
    for one, (codes, _), effect in zip(terms.effects, terms.effect_codes(columns), model.effects, strict=True):
        added = rows_of_level(effect.means, codes) * terms.slopes(columns, one)
        for position, feature in enumerate(one.features):
            yield (one.entity if feature == INTERCEPT else (feature,)), added[:, position]
    for spec, (places, _), factors in zip(terms.factors, terms.factor_codes(columns), model.factors, strict=True):
        yield spec.entity, factors.moments(places)[0]


def fixed_contributions(terms: Terms, model: FittedModel, columns: Columns) -> Iterator[tuple[Sequence[str], Floats]]:
    """Compute what each fixed effect adds to the margin, as :func:`contributions` does."""
    design = terms.fixed(columns)
    yield (), design[:, 0] * model.fixed.numbers[0]
    for position, name in enumerate(terms.fixed_names, start=1):
        yield (name,), design[:, position] * model.fixed.numbers[position]
    known = zip(terms.categories, terms.category_codes(columns), model.fixed.categories, strict=True)
    for name, (codes, _), coefficients in known:
        yield (name,), rows_of_level(coefficients, codes)


def input_shares(terms: Terms, model: FittedModel, columns: Columns) -> dict[str, float]:
    """Compute the importance of each input: its share in the standard deviations of the terms over rows.

    The shares sum to 1. A term of several inputs is divided equally among them. Every k-th row is used, so that there
    are about 10,000.

    Args:
        terms: Encodings.
        model: Coefficients.
        columns: Training rows.
    """
    every = slice(None, None, max(1, row_count(columns) // _ROWS_FOR_IMPORTANCE))
    columns = {name: values[every] for name, values in columns.items()}
    size = dict.fromkeys(terms.inputs, 0.0)
    for names, added in contributions(terms, model, columns):
        for name in names:
            size[name] += float(added.std()) / len(names)
    return shares(size)


def shares(sizes: dict[str, float]) -> dict[str, float]:
    """Divide sizes by their sum; all are 0 where the sum is.

    >>> shares({"a": 3.0, "b": 1.0})
    {'a': 0.75, 'b': 0.25}
    """
    total = sum(sizes.values()) or 1.0
    return {name: size / total for name, size in sizes.items()}


def moments(terms: Terms, model: FittedModel, columns: Columns) -> tuple[Floats, Floats]:
    """Compute posterior mean and variance of the margin, shape (n,) each; terms are taken as independent."""
    mean = terms.fixed(columns) @ model.fixed.numbers + terms.offset(columns)
    for (codes, _), coefficients in zip(terms.category_codes(columns), model.fixed.categories, strict=True):
        mean += rows_of_level(coefficients, codes)
    variance = np.zeros(len(mean))
    for one, (codes, _), effect in zip(terms.effects, terms.effect_codes(columns), model.effects, strict=True):
        z = terms.slopes(columns, one)
        mean += np.einsum("na,na->n", rows_of_level(effect.means, codes), z)
        added = effect_variance(effect, codes, z)
        variance += np.where(codes < 0, added, 0.0) if model.at_mode else added
    for (places, _), factors in zip(terms.factor_codes(columns), model.factors, strict=True):
        added, spread = factors.moments(places)
        mean, variance = mean + added, variance + spread
    return mean, variance


def effect_variance(effect: FittedEffect, codes: Array, z: Floats) -> Floats:
    """Compute the variance z'Vz that a random effect adds to each margin; shape (n,).

    Args:
        effect: The random effect. V is the posterior covariance of the row's entity by which the fit averaged, or that
            of the population where the row has no entity.
        codes: Entity of each row, -1 for none, shape (n,).
        z: Slopes, shape (n, d).
    """
    each = rows_of_level(effect.covariances if effect.averaged is None else effect.averaged, codes)
    each[codes < 0] = effect.population
    return np.asarray(np.einsum("na,nab,nb->n", z, each, z))


def rows_of_level(values: Array, codes: Array) -> Floats:
    """Take the values of each row's level in float64, 0 where the code is -1; shape (n, ...).

    >>> rows_of_level(np.array([5.0, 7.0]), np.array([1, -1, 0])).tolist()
    [7.0, 0.0, 5.0]
    """
    found: Floats = values[np.maximum(codes, 0)].astype(np.float64)
    found[codes < 0] = 0.0
    return found
