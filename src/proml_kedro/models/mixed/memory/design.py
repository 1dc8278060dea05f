"""Design of a model in memory: rows sorted by entity, and the column of each coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.interactions import Interaction
from proml_kedro.models.mixed.memory.observations import DesignTerms, FactorsTerm, Observations, RandomEffectTerm

MOST_DENSE = 2_048
"""Largest number of dense columns: the matrix has 32 MB, and inverting it takes half a second."""

_MOST_PAIRS = 500_000_000  # pairs of columns in one row or one entity: a step takes about half a second


@dataclass(frozen=True)
class ColumnGroup:
    """Columns of the sparse matrix that belong to one term.

    Attributes:
        start: First column.
        levels: Number of categories or entities.
        dimension: Number of columns of each level; the columns of a level follow one another.
        effect: Position among the random effects, None for a categorical fixed effect.
    """

    start: int
    levels: int
    dimension: int
    effect: int | None

    @property
    def columns(self) -> slice:
        """Position of the group in the vector of coefficients."""
        return slice(self.start, self.start + self.levels * self.dimension)


@dataclass(frozen=True)
class Design:
    """Training data, sorted by the entity of the eliminated effect; see :mod:`.kernels.rows` for the equation.

    Attributes:
        eliminated: Position of the effect whose entities the rows are sorted by.
        entities: Number of its entities. Rows without one come last, as one more entity with slopes of zero.
        starts: int64 of shape (entities + 2,): first row of each entity.
        z: float32 of shape (n, d): slopes of the eliminated effect.
        index: int32 of shape (n, m): columns of the row's other coefficients.
        value: float32 of shape (n, m): what they multiply, 0 where a category or entity is missing.
        groups: Columns after the first ``fixed``.
        bounds: int64: position of each group among a row's m entries, and the end of the last one.
        fixed: Number of numeric fixed effects, the intercept first.
        dense: Number of leading columns, in whole groups, that are solved for with a dense matrix.
        dense_entries: Number of a row's entries in these columns.
        width: Number of columns.
        label: float32 of shape (n,).
        offset: float32 of shape (n,).
        weight: float32 of shape (n,), positive.
        order: int64 of shape (n,): position of each row before sorting.
        interactions: Interactions of low rank.
        variance: float32 of shape (n,): posterior variance of the offset.
    """

    eliminated: int
    entities: int
    starts: npt.NDArray[np.int64]
    z: npt.NDArray[np.float32]
    index: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    groups: tuple[ColumnGroup, ...]
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
        """Number of groups that are dense."""
        return sum(group.columns.stop <= self.dense for group in self.groups)

    @property
    def is_dense(self) -> bool:
        """Whether all columns are dense, so that posterior covariances are exact."""
        return self.dense == self.width

    @property
    def first_random(self) -> int:
        """First column of a random effect; fixed effects come before it."""
        return min((group.start for group in self.groups if group.effect is not None), default=self.width)


@dataclass(frozen=True)
class _SparseMatrix:
    """Columns of all coefficients but those of the eliminated effect; attributes as in :class:`Design`."""

    index: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    groups: tuple[ColumnGroup, ...]
    width: int


def lay_out(observations: Observations, terms: DesignTerms) -> Design:
    """Sort rows by the largest random effect, and arrange the other terms as one sparse matrix.

    Args:
        observations: Labels, offsets and weights.
        terms: Terms of the margin.
    """
    eliminated = max(range(len(terms.effects)), key=lambda k: terms.effects[k].columns)
    chief = terms.effects[eliminated]
    keys = np.where(chief.entities < 0, chief.levels, chief.entities)
    # For integers of 16 bits NumPy's stable sort is a radix sort, ten times as fast.
    order = np.argsort(keys.astype(np.uint16) if chief.levels < 1 << 16 else keys, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=chief.levels + 1))]).astype(np.int64)
    z = np.where(chief.entities < 0, 0, chief.slopes.T).T[order].astype(np.float32)
    sparse = _sparse_matrix(terms, eliminated, order)
    fixed, rows = terms.numbers.shape[1], len(observations.label)
    dense, dense_entries = _dense_part(terms.numbers.shape, sparse.groups, np.diff(starts))
    weight, variance = observations.weight, observations.variance
    return Design(
        eliminated=eliminated,
        entities=chief.levels,
        starts=starts,
        z=np.ascontiguousarray(z),
        index=sparse.index,
        value=sparse.value,
        groups=sparse.groups,
        bounds=np.cumsum([fixed, *(group.dimension for group in sparse.groups)]),
        fixed=fixed,
        dense=dense,
        dense_entries=dense_entries,
        width=sparse.width,
        label=observations.label[order].astype(np.float32),
        offset=observations.offset[order].astype(np.float32),
        weight=(np.ones(rows) if weight is None else weight[order]).astype(np.float32),
        order=order,
        interactions=tuple(_interaction(one, order) for one in terms.factors),
        variance=(np.zeros(rows) if variance is None else variance[order]).astype(np.float32),
    )


def _sparse_matrix(terms: DesignTerms, eliminated: int, order: Array) -> _SparseMatrix:
    """Arrange all terms but the eliminated effect, with the rows in this order."""
    numbers = terms.numbers
    groups: list[ColumnGroup] = []
    index = [np.broadcast_to(np.arange(numbers.shape[1], dtype=np.int32), numbers.shape)]
    value = [numbers[order].astype(np.float32)]
    width = numbers.shape[1]
    for one, k in _smallest_first(terms, eliminated):
        group = ColumnGroup(width, one.levels, one.dimension, k)
        codes = one.entities[order]
        columns = group.start + np.maximum(codes, 0)[:, None] * one.dimension + np.arange(one.dimension)
        index.append(columns.astype(np.int32))
        value.append(np.where(codes[:, None] < 0, 0, one.slopes[order]).astype(np.float32))
        groups.append(group)
        width = group.columns.stop
    all_index = np.ascontiguousarray(np.concatenate(index, axis=1))
    all_value = np.ascontiguousarray(np.concatenate(value, axis=1))
    return _SparseMatrix(all_index, all_value, tuple(groups), width)


def _interaction(factors: FactorsTerm, order: Array) -> Interaction:
    codes = [one[order] for one in factors.codes]
    return Interaction.between(codes, factors.levels, factors.rank, factors.seed)


def _smallest_first(terms: DesignTerms, eliminated: int) -> list[tuple[RandomEffectTerm, int | None]]:
    """List categorical fixed effects, and then the random effects that are not eliminated by their number of columns.

    Categories are written as effects with a slope of one and the position None.
    """
    ones = np.ones((len(terms.numbers), 1), np.float32)
    others = [(one, k) for k, one in enumerate(terms.effects) if k != eliminated]
    others.sort(key=lambda pair: pair[0].columns)
    return [*((RandomEffectTerm(one.codes, ones, one.levels), None) for one in terms.categories), *others]


def _dense_part(shape: tuple[int, int], groups: Sequence[ColumnGroup], rows_of_entity: Array) -> tuple[int, int]:
    """Count the leading columns for which a dense matrix can be afforded, and the entries of a row in them.

    What is computed from that matrix is exact, and of other columns it is not, so that the cost in itself decides.
    Building the matrix costs a multiplication for each pair of entries in a row, and for each pair of columns that the
    rows of one entity touch; inverting it costs the third power of the columns.

    Args:
        shape: Rows, and numeric fixed effects.
        groups: Groups of columns, the smallest first.
        rows_of_entity: Number of rows of each entity of the eliminated effect.
    """
    rows, entries = shape
    columns, touched = entries, np.full(len(rows_of_entity), float(entries))
    for group in groups:
        wider = group.columns.stop
        touched += np.minimum(rows_of_entity, group.levels) * group.dimension
        pairs = rows * (entries + group.dimension) ** 2 + float(touched @ touched)
        if wider > MOST_DENSE or pairs > _MOST_PAIRS:
            break
        columns, entries = wider, entries + group.dimension
    return columns, entries
