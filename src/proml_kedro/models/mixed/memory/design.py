"""What the engine fits: rows that lie together by entity, and where each coefficient stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.interactions import Interaction

_MOST_DENSE = 512  # columns: inverting the matrix then takes 30 ms
_PAIRS_A_ROW = 300


@dataclass(frozen=True)
class Effect:
    """One random effect of n rows.

    Attributes:
        entities: int32 of shape (n,): the row's entity, from 0; -1 for none.
        slopes: float32 of shape (n, d): what the entity's coefficients multiply, a column of ones for an intercept.
        levels: How many entities there are, at least 1.
    """

    entities: npt.NDArray[np.int32]
    slopes: npt.NDArray[np.float32]
    levels: int

    @property
    def dimension(self) -> int:
        """Coefficients of each entity."""
        return int(self.slopes.shape[1])


@dataclass(frozen=True)
class Category:
    """One categorical fixed effect of n rows: ``codes`` is int32, -1 for missing; ``levels`` is at least 1."""

    codes: npt.NDArray[np.int32]
    levels: int


@dataclass(frozen=True)
class Factors:
    """Fields that interact.

    Attributes:
        codes: For each field int32 of shape (n,), the row's level, -1 for none.
        levels: How many levels each field has, at least 1.
        rank: Of the interaction.
        seed: For the factors to start from.
    """

    codes: Sequence[npt.NDArray[np.int32]]
    levels: Sequence[int]
    rank: int
    seed: int = 0


@dataclass(frozen=True)
class Group:
    """Columns of the sparse matrix that belong together.

    Attributes:
        start: The first column.
        levels: Categories, or entities.
        dimension: Columns of each level; a level's columns follow one another.
        effect: Position among the random effects, None for a categorical fixed effect.
    """

    start: int
    levels: int
    dimension: int
    effect: int | None

    @property
    def columns(self) -> slice:
        """Where the group stands in the vector of coefficients."""
        return slice(self.start, self.start + self.levels * self.dimension)


@dataclass(frozen=True)
class Rows:
    """Training data, sorted by the entity of the eliminated effect; see :mod:`.kernels` for the equation.

    Attributes:
        eliminated: Position of the effect whose entities the rows are sorted by.
        entities: How many it has. Rows without one come last, as one more entity with slopes of zero.
        starts: int64 of shape (entities + 2,): where each entity's rows begin.
        z: float32 of shape (n, d): slopes of the eliminated effect.
        index: int32 of shape (n, m): columns of the row's other coefficients.
        value: float32 of shape (n, m): what they multiply, 0 where a category or entity is missing.
        groups: The columns after the first ``fixed``.
        bounds: int64: where the groups begin among a row's m entries, and where the last one ends.
        fixed: Number of fixed effects that are numbers, the intercept first.
        dense: Number of leading columns, in whole groups, few enough to be solved for directly.
        dense_entries: How many of a row's entries stand in these columns.
        width: Number of columns.
        label: float32 of shape (n,).
        offset: float32 of shape (n,).
        weight: float32 of shape (n,), positive.
        order: int64 of shape (n,): where each row stood before it was sorted.
        interactions: Those of low rank.
        variance: float32 of shape (n,): of what is in the offset without being known for certain.
    """

    eliminated: int
    entities: int
    starts: npt.NDArray[np.int64]
    z: npt.NDArray[np.float32]
    index: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    groups: tuple[Group, ...]
    bounds: npt.NDArray[np.int64]
    fixed: int
    dense: int
    dense_entries: int
    width: int
    label: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    order: npt.NDArray[np.int64]
    interactions: tuple[Interaction, ...]
    variance: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def dense_groups(self) -> int:
        """How many of the groups are dense."""
        return sum(group.columns.stop <= self.dense for group in self.groups)

    @property
    def first_random(self) -> int:
        """The first column that belongs to a random effect; fixed ones come before it."""
        return min((group.start for group in self.groups if group.effect is not None), default=self.width)


def arrange(
    label: Array,
    offset: Array,
    numbers: Array,
    categories: Sequence[Category],
    effects: Sequence[Effect],
    weight: Array | None = None,
    factors: Sequence[Factors] = (),
    variance: Array | None = None,
) -> Rows:
    """Sort rows by the largest random effect and lay the rest out as one sparse matrix.

    Args:
        label: Shape (n,).
        offset: Shape (n,), added to every margin.
        numbers: Shape (n, p): fixed effects, a column of ones first.
        categories: Categorical fixed effects.
        effects: Random effects, at least one.
        weight: Shape (n,): for how many rows each counts, positive; 1 when left out.
        factors: Fields that interact.
        variance: Shape (n,): of what is in the offset without being known for certain; 0 when left out.
    """
    eliminated = max(range(len(effects)), key=lambda k: effects[k].levels * effects[k].dimension)
    chief = effects[eliminated]
    keys = np.where(chief.entities < 0, chief.levels, chief.entities)
    # Of numbers with 16 bits NumPy's stable sort is a radix sort, ten times as fast.
    order = np.argsort(keys.astype(np.uint16) if chief.levels < 1 << 16 else keys, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=chief.levels + 1))]).astype(np.int64)
    z = np.where(chief.entities < 0, 0, chief.slopes.T).T[order].astype(np.float32)

    groups: list[Group] = []
    index = [np.broadcast_to(np.arange(numbers.shape[1], dtype=np.int32), numbers.shape)]
    value = [numbers[order].astype(np.float32)]
    for one, k in _smallest_first(len(label), categories, effects, eliminated):
        group = Group(groups[-1].columns.stop if groups else numbers.shape[1], one.levels, one.dimension, k)
        codes = one.entities[order]
        columns = group.start + np.maximum(codes, 0)[:, None] * one.dimension + np.arange(one.dimension)
        index.append(columns.astype(np.int32))
        value.append(np.where(codes[:, None] < 0, 0, one.slopes[order]).astype(np.float32))
        groups.append(group)
    bounds = np.cumsum([numbers.shape[1], *(group.dimension for group in groups)])
    dense, dense_entries = _dense_part(numbers.shape, groups, chief.levels)
    return Rows(
        eliminated,
        chief.levels,
        starts,
        np.ascontiguousarray(z),
        np.ascontiguousarray(np.concatenate(index, axis=1)),
        np.ascontiguousarray(np.concatenate(value, axis=1)),
        tuple(groups),
        bounds,
        numbers.shape[1],
        dense,
        dense_entries,
        groups[-1].columns.stop if groups else numbers.shape[1],
        label[order].astype(np.float32),
        offset[order].astype(np.float32),
        (np.ones(len(label)) if weight is None else weight[order]).astype(np.float32),
        order,
        tuple(_interaction(one, order) for one in factors),
        (np.zeros(len(label)) if variance is None else variance[order]).astype(np.float32),
    )


def _interaction(factors: Factors, order: Array) -> Interaction:
    codes = [one[order] for one in factors.codes]
    return Interaction.between(codes, factors.levels, factors.rank, factors.seed)


def _smallest_first(
    rows: int, categories: Sequence[Category], effects: Sequence[Effect], eliminated: int
) -> list[tuple[Effect, int | None]]:
    """Categorical fixed effects, and then the random effects that are not eliminated by their number of columns."""
    ones = np.ones((rows, 1), np.float32)
    others = [(one, k) for k, one in enumerate(effects) if k != eliminated]
    others.sort(key=lambda pair: pair[0].levels * pair[0].dimension)
    return [*((Effect(one.codes, ones, one.levels), None) for one in categories), *others]


def _dense_part(shape: tuple[int, int], groups: Sequence[Group], entities: int) -> tuple[int, int]:
    """How many leading columns are worth a matrix of their own, and how many entries of a row stand in them.

    Building it costs a multiplication for each pair of entries in a row, and for each pair of columns in an entity.
    """
    rows, entries = shape
    columns, budget = entries, _PAIRS_A_ROW * rows
    for group in groups:
        wider = group.columns.stop
        if wider > _MOST_DENSE or entities * wider**2 > budget:
            break
        columns, entries = wider, entries + group.dimension
    return columns, entries
