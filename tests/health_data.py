"""Columns of known truth, whole and broken: what the drift verdict is held to, in tests and in benchmarks/health.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from proml_kedro.models.component import Array, Columns, Input

Generator = np.random.Generator
Draw = Callable[[Generator, int], Array]


def _levels(count: int) -> Draw:
    names = np.array([f"level {number}" for number in range(count)], object)
    return lambda generator, rows: names[generator.integers(0, count, rows)]


def _mostly_null(generator: Generator, rows: int) -> Array:
    return np.where(generator.random(rows) < 0.98, np.nan, generator.normal(size=rows))


DISTRIBUTIONS: Mapping[str, Draw] = {
    "normal": lambda generator, rows: generator.normal(size=rows),
    "lognormal": lambda generator, rows: generator.lognormal(size=rows),
    "pareto": lambda generator, rows: generator.pareto(1.5, rows),
    "counts": lambda generator, rows: generator.poisson(3, rows).astype(float),
    "zero95": lambda generator, rows: np.where(generator.random(rows) < 0.95, 0.0, generator.exponential(2, rows)),
    "binary": lambda generator, rows: (generator.random(rows) < 0.02).astype(float),
    "five": _levels(5),
    "hundred": _levels(100),
    "hundred_fifty": _levels(150),
    "five_thousand": _levels(5000),
    "text_ids": lambda generator, rows: np.array(
        [f"id {number}" for number in generator.integers(0, 2**60, rows)], object
    ),
    "number_ids": lambda generator, rows: generator.permutation(10 * rows)[:rows].astype(float),
    "constant": lambda generator, rows: np.full(rows, 7.0),
    "narrow": lambda generator, rows: generator.normal(5, 1e-4, rows),
    "mostly_null": _mostly_null,
}
"""The distributions that a column may have, by name."""

INPUTS = [
    Input(name, "str" if draw(np.random.default_rng(0), 1).dtype == object else "float")
    for name, draw in DISTRIBUTIONS.items()
]


def draw(generator: Generator, rows: int) -> Columns:
    """Draw a row of each distribution, independently of each other."""
    return {name: one(generator, rows) for name, one in DISTRIBUTIONS.items()}


def _sprinkled(
    share: float, change: Callable[[Array], Array | float | str | None]
) -> Callable[[Array, Generator], Array]:
    """Change a random share of the rows."""
    return lambda values, generator: np.where(generator.random(len(values)) < share, change(values), values)


def _of_top(values: Array, share: float) -> Array:
    return np.where(values >= np.quantile(values, 1 - share), 2 * values, values)


CHANGES: Mapping[str, tuple[str, Callable[[Array, Generator], Array]]] = {
    "0.3 sigma": ("normal", lambda values, _: values + 0.3),
    "0.2 sigma": ("normal", lambda values, _: values + 0.2),
    "10 % nulls": ("normal", _sprinkled(0.1, lambda values: np.nan)),
    "5 % = -999": ("normal", _sprinkled(0.05, lambda values: -999.0)),
    "5 % x 1000": ("lognormal", _sprinkled(0.05, lambda values: 1000 * values)),
    "top 10 % doubled": ("lognormal", lambda values, _: _of_top(values, 0.1)),
    "the rest doubled": ("zero95", lambda values, _: 2 * values),
    "binary .02 to .06": ("binary", lambda values, generator: (generator.random(len(values)) < 0.06).astype(float)),
    "2 % new": ("five", _sprinkled(0.02, lambda values: "new")),
    "unit x 1000": ("lognormal", lambda values, _: 1000 * values),
    "all null": ("mostly_null", lambda values, _: np.full(len(values), np.nan)),
    "ids all null": ("text_ids", lambda values, _: np.full(len(values), None, object)),
    "stuck": ("normal", lambda values, _: np.full(len(values), values[0])),
}
"""What can happen to a column, and which one it happens to."""
