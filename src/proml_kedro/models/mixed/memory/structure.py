"""What a design cannot tell apart, whatever the labels are: found before the fit, and said in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.effect_spec import INTERCEPT
from proml_kedro.models.mixed.memory.observations import CategoryTerm
from proml_kedro.models.mixed.memory.problem import FitProblem
from proml_kedro.models.mixed.notes import listed, of_counts

_MOST_COLUMNS = 1_000  # of the fixed effects: more are not searched for aliases
_SAME = 1e-5  # share of a column's norm that is left where others determine it: numbers are in single precision
_PART = 1e-3  # least coefficient of a column that another one is said to be made of


@dataclass(frozen=True)
class FixedColumns:
    """Columns of the fixed effects: numbers, the intercept first, and all levels of each category but the first.

    Attributes:
        names: Name of each column.
        gram: Products of the columns, shape (p, p).
    """

    names: list[str]
    gram: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, names: Sequence[str], numbers: Array, titles: Sequence[str], terms: Sequence[CategoryTerm]
    ) -> FixedColumns:
        """Multiply all columns with each other, one-hot ones by counting.

        Args:
            names: Name of each number.
            numbers: Shape (n, numbers).
            titles: Name of each category.
            terms: The categories. A row without one has a level of its own.
        """
        codes = [one.codes + 1 if (one.codes < 0).any() else one.codes for one in terms]
        counts = [int(one.max(initial=0)) + 1 for one in codes]
        blocks = [[numbers.T @ numbers, *(_by_level(numbers, one, n).T for one, n in zip(codes, counts, strict=True))]]
        for k, (one, n) in enumerate(zip(codes, counts, strict=True)):
            row = [_by_level(numbers, one, n)]
            row += [_table(one, n, other, m) for other, m in zip(codes, counts, strict=True)]
            blocks.append(row)
            names = [*names, *(f"{titles[k]}" for _ in range(n))]
        starts = np.cumsum([numbers.shape[1], *counts])[:-1]
        kept = np.delete(np.arange(len(names)), starts)  # the reference levels
        return cls([names[int(k)] for k in kept], np.block(blocks)[np.ix_(kept, kept)])

    def aliased(self) -> Iterator[tuple[str, list[str]]]:
        """Find the columns that those before them determine: the name of each, and of those that it is made of."""
        scale = np.sqrt(np.maximum(np.diag(self.gram), 1e-300))
        gram = self.gram / np.outer(scale, scale)
        kept: list[int] = []
        for k, name in enumerate(self.names):
            before = gram[np.ix_(kept, kept)]
            parts = np.linalg.solve(before, gram[kept, k]) if kept else np.zeros(0)
            if gram[k, k] - gram[kept, k] @ parts > _SAME**2:
                kept.append(k)
            elif self.gram[k, k] > 0:  # a column of zeros is a level without rows
                yield name, [self.names[j] for j, part in zip(kept, parts, strict=True) if abs(part) > _PART]


def structure_notes(problem: FitProblem) -> Iterator[str]:
    """Say which effects cannot be told apart, and which have too few entities or rows."""
    if not problem.plan.fixed_locked:
        yield from _aliases(problem)
    if not problem.plan.variances_locked:
        yield from _of_effects(problem)


def _aliases(problem: FitProblem) -> Iterator[str]:
    terms, columns = problem.terms, problem.columns
    scales = [(name, terms.scales[name]) for name in terms.numbers]
    constant = {name for name, one in scales if one.constant}
    numbers = terms.fixed(columns)
    varying = [k for k, name in enumerate(terms.fixed_keys) if name not in constant]
    categories = [CategoryTerm(codes, levels) for codes, levels in terms.category_codes(columns)]
    if len(varying) + sum(one.levels for one in categories) > _MOST_COLUMNS:
        return
    names = [terms.fixed_keys[k] for k in varying]
    found: dict[str, list[str]] = {}
    for name, parts in FixedColumns.of(names, numbers[:, varying], terms.categories, categories).aliased():
        others = [one for one in dict.fromkeys(parts) if one not in (name, INTERCEPT)]
        found[name] = list(dict.fromkeys([*found.get(name, []), *others]))
    for name, parts in found.items():
        of = f"determined by {listed(parts)}" if parts else "constant"
        yield f"aliased: {name} is {of}: coefficients of both cannot be told apart, and `penalty` alone divides them"


def _of_effects(problem: FitProblem) -> Iterator[str]:
    terms = problem.terms
    codes = [one for one, _ in terms.effect_codes(problem.columns)]
    nothing_left = problem.loss == "linear" or (
        problem.loss == "logistic" and bool(np.isin(problem.label, (0, 1)).all())
    )
    partitions = [_levels(one) for one in codes]
    for spec, one, levels in zip(terms.effects, codes, partitions, strict=True):
        yield from of_counts(spec, levels, float(np.count_nonzero(one >= 0)), nothing_left)
        for feature in spec.features:
            if feature != INTERCEPT and INTERCEPT in spec.features and _is_of_entity(one, problem.columns[feature]):
                yield f"{feature} is the same in all rows of an entity of {spec.title}: it can have no slope of its own"
    for j, k in combinations(range(len(codes)), 2):
        shared = set(terms.effects[j].features) & set(terms.effects[k].features)
        if shared and partitions[j] == partitions[k] == _levels(codes[j], codes[k]):
            titles = f"{terms.effects[j].title} and {terms.effects[k].title}"
            yield f"aliased: {titles} divide the rows alike: their variances cannot be told apart"
    for name, (category, _) in zip(terms.categories, terms.category_codes(problem.columns), strict=True):
        for spec, one, levels in zip(terms.effects, codes, partitions, strict=True):
            if INTERCEPT in spec.features and levels > 1 and _levels(category) == _levels(category, one):
                yield f"aliased: {name} determines {spec.title}, whose variance cannot be estimated beside it"


def _levels(*codes: Array) -> int:
    """Count the levels that occur, or their combinations; rows without one are left out."""
    whole = codes[0].astype(np.int64)
    for one in codes[1:]:
        whole = np.where((whole < 0) | (one < 0), -1, whole * (int(one.max(initial=0)) + 1) + one)
    return len(np.unique(whole[whole >= 0]))


def _is_of_entity(codes: Array, values: Array) -> bool:
    """Tell whether a number is the same in all rows of each entity, though not in all rows."""
    known = (codes >= 0) & np.isfinite(values)
    first = np.zeros(int(codes.max(initial=0)) + 1, values.dtype)
    first[codes[known]] = values[known]
    return bool((first[codes[known]] == values[known]).all()) and len(np.unique(first)) > 1


def _by_level(numbers: Array, codes: Array, levels: int) -> npt.NDArray[np.float64]:
    """Sum numbers by level; shape (levels, numbers)."""
    return np.stack([np.bincount(codes, one, levels) for one in numbers.T], axis=1)


def _table(codes: Array, levels: int, other: Array, others: int) -> npt.NDArray[np.float64]:
    """Count rows by two levels; shape (levels, others)."""
    pairs = codes.astype(np.int64) * others + other
    return np.bincount(pairs, minlength=levels * others).reshape(levels, others).astype(np.float64)
