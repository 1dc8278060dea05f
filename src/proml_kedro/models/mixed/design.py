"""What the engine fits: rows that lie together by entity, and where each coefficient stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array


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
        width: Number of columns.
        label: float32 of shape (n,).
        offset: float32 of shape (n,).
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
    width: int
    label: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)


def arrange(
    label: Array, offset: Array, numbers: Array, categories: Sequence[Category], effects: Sequence[Effect]
) -> Rows:
    """Sort rows by the largest random effect and lay the rest out as one sparse matrix.

    Args:
        label: Shape (n,), 0 or 1.
        offset: Shape (n,), added to every margin.
        numbers: Shape (n, p): fixed effects, a column of ones first.
        categories: Categorical fixed effects.
        effects: Random effects, at least one.
    """
    eliminated = max(range(len(effects)), key=lambda k: effects[k].levels * effects[k].dimension)
    chief = effects[eliminated]
    keys = np.where(chief.entities < 0, chief.levels, chief.entities)
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=chief.levels + 1))]).astype(np.int64)
    z = np.where(chief.entities < 0, 0, chief.slopes.T).T[order].astype(np.float32)

    groups: list[Group] = []
    index = [np.broadcast_to(np.arange(numbers.shape[1], dtype=np.int32), numbers.shape)]
    value = [numbers[order].astype(np.float32)]
    width = numbers.shape[1]
    others: list[tuple[Effect, int | None]] = [
        *((Effect(one.codes, np.ones((len(label), 1), np.float32), one.levels), None) for one in categories),
        *((one, k) for k, one in enumerate(effects) if k != eliminated),
    ]
    for one, k in others:
        group = Group(width, one.levels, one.dimension, k)
        codes = one.entities[order]
        known = np.maximum(codes, 0)[:, None]
        index.append((width + known * one.dimension + np.arange(one.dimension)).astype(np.int32))
        value.append(np.where(codes[:, None] < 0, 0, one.slopes[order]).astype(np.float32))
        groups.append(group)
        width = group.columns.stop
    return Rows(
        eliminated,
        chief.levels,
        starts,
        np.ascontiguousarray(z),
        np.ascontiguousarray(np.concatenate(index, axis=1)),
        np.ascontiguousarray(np.concatenate(value, axis=1)),
        tuple(groups),
        np.cumsum([numbers.shape[1], *(group.dimension for group in groups)]),
        numbers.shape[1],
        width,
        label[order].astype(np.float32),
        offset[order].astype(np.float32),
    )
