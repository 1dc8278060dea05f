"""Cases of rows whose figure changed, with the truth of why: one to three sets of values, all rows, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

SIZES = {"a": 10, "b": 12, "c": 10, "d": 8, "e": 6}
BEFORE, NOW = 20_000, 6_000
_LEAST_ROWS = 60
"""Rows that a cause is of."""

Set = dict[str, frozenset[int]]


@dataclass(frozen=True)
class Case:
    """Rows of before and of now.

    Attributes:
        before: Values by dimension, shape (rows,), and whether the condition held as ``y``.
        now: The same of the rows that changed.
        truth: The sets that made it so.
    """

    before: dict[str, Any]
    now: dict[str, Any]
    truth: list[Set]


def make_case(generator: np.random.Generator, causes: int = 0, order: int | None = None, kind: str = "") -> Case:
    """Make a case: a share of .2 that differs by .03 from value to value, and rises by .35 to .7 in each cause.

    Args:
        generator: Source of chance.
        causes: Number of causes, each of one to three values in each of its dimensions.
        order: Number of dimensions of each; 1 to 3 by chance when left out.
        kind: ``hidden`` for a rise by .5 in one of six parts that no dimension knows, ``everybody`` for .15 in all.
    """
    shares = {name: generator.dirichlet(np.full(size, 3.0)) for name, size in SIZES.items()}
    effects = {name: generator.normal(0, 0.03, size) for name, size in SIZES.items()}
    before, now = ({name: generator.choice(SIZES[name], n, p=shares[name]) for name in SIZES} for n in (BEFORE, NOW))
    before["hidden"], now["hidden"] = generator.integers(0, 6, BEFORE), generator.integers(0, 6, NOW)
    usual = [np.clip(0.2 + sum(effects[name][rows[name]] for name in SIZES), 0.02, 0.9) for rows in (before, now)]
    chance, truth = usual[1].copy(), []
    for _ in range(causes):
        cause = _cause(generator, now, order or int(generator.integers(1, 4)))
        truth.append(cause)
        inside = rows_of(cause, now)
        chance[inside] = np.clip(chance[inside] + generator.uniform(0.35, 0.7), 0, 0.97)
    if kind == "hidden":
        chance = chance + 0.5 * (now["hidden"] == 3)
    if kind == "everybody":
        chance = chance + 0.15
    before["y"] = generator.random(BEFORE) < usual[0]
    now["y"] = generator.random(NOW) < np.clip(chance, 0, 0.97)
    return Case(before, now, truth)


def _cause(generator: np.random.Generator, now: dict[str, Any], order: int) -> Set:
    """Choose values of so many dimensions that enough rows have."""
    while True:
        names = generator.choice(list(SIZES), order, replace=False).tolist()
        cause = {
            str(name): frozenset(generator.choice(SIZES[name], int(generator.integers(1, 4)), replace=False).tolist())
            for name in names
        }
        if rows_of(cause, now).sum() >= _LEAST_ROWS:
            return cause


def rows_of(cause: Set, rows: dict[str, Any]) -> Any:
    """Tell which rows are in a set."""
    inside = np.ones(len(next(iter(rows.values()))), bool)
    for name, values in cause.items():
        inside &= np.isin(rows[name], list(values))
    return inside


def elements(sets: list[Set]) -> set[Any]:
    """Write sets as the combinations of single values that they hold."""
    found: set[Any] = set()
    for one in sets:
        names = sorted(one)
        found |= {tuple(zip(names, values, strict=True)) for values in product(*(sorted(one[name]) for name in names))}
    return found


def f1(found: list[Set], truth: list[Set]) -> float:
    """Compute F1 of combinations of single values."""
    got, true = elements(found), elements(truth)
    return 2 * len(got & true) / max(len(got) + len(true), 1)


def sides_of(case: Case, names: list[str] | None = None) -> Any:
    """Return the rows of a case as cells of columns; the declared dimensions when left out."""
    from proml_kedro.health.diagnosis.diagnose import Sides
    from proml_kedro.health.diagnosis.sample import Sample

    names = names or list(SIZES)
    sizes = [SIZES.get(name, 6) for name in names]

    def sample(rows: dict[str, Any]) -> Sample:
        held = rows["y"].astype(float)
        one = np.ones(len(held))
        return Sample(np.stack([rows[name] for name in names]), sizes, one.astype(np.int64), one, held, held)

    return Sides(
        names, [[str(one) for one in range(size)] for size in sizes], sample(case.now), sample(case.before), (1, 1)
    )


def sets_of(found: Any) -> list[Set]:
    """Return the sets of declared values that were named."""
    return [
        {name: frozenset(map(int, values)) for name, values in part.values.items()}
        for part in found.parts
        if part.kind == "set"
    ]
