"""Second pass: the rows of a part, in the blocks that :mod:`.kernels` sweeps.

Entities are sorted by how many rows they have and put side by side, one in each lane of a block, so that lanes are
about equally long. An entity of very many rows has a block to itself: its rows go round over all lanes.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

import numba
import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.forms import LINEAR, LOGISTIC, POISSON, WEIGHTED, width_of
from proml_kedro.models.mixed.streamed.kernels import lanes_of, triangle, variant
from proml_kedro.models.mixed.streamed.keys import Words, hash_of

_SLICE = 1 << 14  # rows that stay in the cache from one operation to the next
_ALONE = 512  # rows from which an entity has a block of its own
_ALL_LANES_ONE_ENTITY = 0  # lanes in use of such a block, as the kernels know it

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Slopes:
    """What becomes of the numbers of a row.

    Attributes:
        columns: int64 of shape (d,): for each slope its column among the numbers, -1 for the intercept.
        means: float64 of shape (d,): a missing value takes its place.
        scales: float64 of shape (d,): what standardises the distance from the mean.
        form: In which rows are stored, see :mod:`.forms`.
        weighted: Whether the last column is a weight; the label stands before it.
        unit: Mean and deviation that a label of the linear loss is measured by.
    """

    columns: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    form: int = LOGISTIC
    weighted: bool = False
    unit: tuple[float, float] = (0.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers stored of a row, and lanes."""
        return width_of(self.form, len(self.columns)), lanes_of(len(self.columns))

    def weights(self, numbers: Floats) -> Floats | None:
        """Of each row; None where there are none."""
        return numbers[:, -1] if self.weighted else None

    def stored(self, numbers: Floats) -> Floats:
        """What is stored of rows, see :mod:`.forms`; shape (n, width).

        What is missing counts as the mean, and as no offset.
        """
        stored = np.empty((len(numbers), self.shape[0]), np.float32)
        for first in range(0, len(numbers), _SLICE):
            here = slice(first, first + _SLICE)
            self._store(numbers[here], stored[here])
        return stored

    def _store(self, numbers: Floats, stored: Floats) -> None:
        label = numbers[:, -2 if self.weighted else -1]
        weight = numbers[:, -1] if self.weighted else np.ones(len(numbers), np.float32)
        offset, times = _finite(numbers[:, 0]), np.ones(len(numbers), np.float32)
        if self.form == LINEAR:
            np.sqrt(weight, out=times)
            offset = (offset - (label.astype(np.float64) - self.unit[0])) / self.unit[1]
        elif self.form == POISSON:
            offset = offset + np.log(weight)
            np.multiply(weight, label, out=stored[:, -1])
        else:
            times = 2 * label - 1
            if self.form == WEIGHTED:
                stored[:, -1] = weight
        np.multiply(times, offset, out=stored[:, 0], casting="same_kind")
        for a, column in enumerate(self.columns):
            if column < 0:
                stored[:, 1 + a] = times
            else:
                z = _finite((numbers[:, column] - self.means[a]) * self.scales[a])
                np.multiply(times, z, out=stored[:, 1 + a], casting="same_kind")


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values, zero where they are not finite; in their place where all are."""
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))


@dataclass(frozen=True)
class Bounds:
    """On the rows of an entity.

    Attributes:
        least: One with fewer is left to the population.
        most: Of one with more a random sample of this size is taken; None for all.
        seed: Of the sample.
    """

    least: int = 1
    most: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """Some entities and all of their rows. All arrays are memory-mapped.

    Attributes:
        rows: float32 of shape (rows, width, lanes), see :func:`.forms.width_of`.
        starts: int64 of shape (blocks + 1,).
        used: int8 of shape (blocks,): lanes that hold an entity, 0 for a block of one entity.
        words: uint64 of shape (entities, width): their names, in the order of blocks and lanes.
        counts: Shape (entities,): their rows, int32; where rows have weights the sum of these, float64.
        loose: As ``rows``: those without an entity, and of entities that have too few.
        left_out: How many rows have been left out of samples, int64 of shape ().
        state: float32 of shape (blocks, d + d (d + 1) / 2, lanes): u and posterior covariances.
    """

    rows: Floats
    starts: npt.NDArray[np.int64]
    used: npt.NDArray[np.int8]
    words: Words
    counts: npt.NDArray[Any]
    loose: Floats
    left_out: npt.NDArray[np.int64]
    state: Floats

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What :func:`pack` has written; the state may be changed, and stays changed."""
        names = [one.name for one in fields(cls)]
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r+" if name == "state" else "r") for name in names))

    @property
    def alone(self) -> int:
        """Entities with a block of their own; they come first."""
        return int(np.count_nonzero(np.asarray(self.used) == _ALL_LANES_ONE_ENTITY))

    def by_entity(self) -> Floats:
        """The state of each entity, shape (entities, d + d (d + 1) / 2), in the order of ``words``."""
        alone = self.alone
        rest = self.state[alone:].transpose(0, 2, 1).reshape(-1, self.state.shape[1])
        return np.concatenate([self.state[:alone, :, 0], rest])[: len(self.words)]

    def start_from(self, state: Floats) -> None:
        """Write what :meth:`by_entity` shall give."""
        alone, (blocks, entries, lanes) = self.alone, self.state.shape
        rest = np.zeros(((blocks - alone) * lanes, entries), np.float32)
        rest[: len(state) - alone] = state[alone:]
        self.state[:alone] = state[:alone, :, None]
        self.state[alone:] = rest.reshape(-1, lanes, entries).transpose(0, 2, 1)


def pack(
    keys: Words, numbers: Floats, nobody: Floats, slopes: Slopes, folder: Path, bounds: Bounds | None = None
) -> None:
    """Write one part.

    Args:
        keys: Shape (n, width): names of the rows' entities.
        numbers: Shape (n, k): offset, slopes, label, and weight if there is one.
        nobody: The same of rows without an entity, shape (m, k).
        slopes: How slopes are made of them.
        folder: Appears when it is complete.
        bounds: On the rows of an entity.
    """
    d, lanes = len(slopes.columns), slopes.shape[1]
    bounds = bounds or Bounds()
    sampled, left_out = _sampled(_Rows(*number_entities(keys), numbers), bounds)
    known, loose = _without_small(sampled, bounds.least)
    counts = known.counts
    entities, alone = _order(counts)
    used, starts = _blocks(counts[entities], alone, lanes)
    weight = slopes.weights(known.numbers)
    sizes = counts if weight is None else np.bincount(known.codes, weight, len(counts))
    ends = np.cumsum(counts[entities], dtype=np.int64)
    rows = rows_by_entity(known.codes, entities, ends - counts[entities])
    arrays: dict[str, npt.NDArray[Any]] = {
        "rows": fill_blocks(slopes.stored(known.numbers), rows, ends, alone, starts, lanes),
        "starts": starts,
        "used": used,
        "words": known.words[entities],
        "counts": sizes[entities],
        "loose": pack_population(np.concatenate([nobody, loose]), slopes),
        "left_out": np.array(left_out),
        "state": np.zeros((len(used), d + triangle(d), lanes), np.float32),
    }
    temporary = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(temporary / f"{name}.npy", array)
    temporary.rename(folder)


def pack_population(numbers: Floats, slopes: Slopes) -> Floats:
    """Rows that have no entity, one after the other over all lanes; shape (rows, width, lanes)."""
    n, lanes = len(numbers), slopes.shape[1]
    starts, ends = np.array([0, -(-n // lanes)]), np.array([n])
    return fill_blocks(slopes.stored(numbers), np.arange(n, dtype=np.int32), ends, 1, starts, lanes)


@dataclass(frozen=True)
class _Rows:
    """The rows of a part that have an entity.

    Attributes:
        codes: int32 of shape (n,): each row's entity.
        words: uint64 of shape (entities, width): their names.
        counts: int32 of shape (entities,): how many rows each has.
        numbers: Of the rows, shape (n, k).
    """

    codes: npt.NDArray[np.int32]
    words: Words
    counts: npt.NDArray[np.int32]
    numbers: Floats


def _sampled(rows: _Rows, bounds: Bounds) -> tuple[_Rows, int]:
    """At most so many rows of each entity, and how many were left out."""
    if bounds.most is None or rows.counts.max(initial=0) <= bounds.most:
        return rows, 0
    stays = sample_rows(rows.words, rows.codes, rows.counts, bounds.most, np.uint64(bounds.seed))
    counts = np.minimum(rows.counts, np.int32(bounds.most))
    return _Rows(rows.codes[stays], rows.words, counts, rows.numbers[stays]), int(np.count_nonzero(~stays))


def _without_small(rows: _Rows, least: int) -> tuple[_Rows, Floats]:
    """Entities of at least so many rows, and the numbers of the rows of the others."""
    known = rows.counts >= least
    if known.all():
        return rows, rows.numbers[:0]
    stays = known[rows.codes]
    codes = (np.cumsum(known, dtype=np.int32) - np.int32(1))[rows.codes[stays]]
    return _Rows(codes, rows.words[known], rows.counts[known], rows.numbers[stays]), rows.numbers[~stays]


@numba.njit(cache=True, nogil=True)
def sample_rows(words, codes, counts, most, seed):
    """Which rows stay of entities with more than ``most``: each sample of that many is equally likely.

    Rows are taken as they come, each with the probability of what is still needed over what is still to come (Fan,
    Muller and Rezucha, 1962). Random numbers are hashes of the seed, the name and the row's number within the entity.
    """
    stays = np.ones(codes.size, np.bool_)
    seen, taken = np.zeros(counts.size, np.int64), np.zeros(counts.size, np.int64)
    draw = np.empty((1, 3), np.uint64)
    for i in range(codes.size):
        code = codes[i]
        if counts[code] > most:
            draw[0, 0], draw[0, 1], draw[0, 2] = seed, hash_of(words, code), np.uint64(seen[code])
            uniform = float(hash_of(draw, 0) >> np.uint64(11)) / 9007199254740992.0
            stays[i] = uniform * (counts[code] - seen[code]) < most - taken[code]
            taken[code] += stays[i]
            seen[code] += 1
    return stays


def _order(counts: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], int]:
    """Entities that get blocks of their own, then the others from few to many rows; and how many the former are."""
    order = np.argsort(np.where(counts > _ALONE, 0, counts).astype(np.uint16), kind="stable")  # by radix
    return order, int(np.count_nonzero(counts > _ALONE))


def _blocks(
    counts: npt.NDArray[np.int32], alone: int, lanes: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Lanes in use of each block, and where its rows begin, for entities in their order."""
    last = np.minimum(np.arange(alone, len(counts), lanes) + lanes, len(counts)) - 1  # the longest of each block
    used = np.full(alone + len(last), _ALL_LANES_ONE_ENTITY, np.int8)
    used[alone:] = lanes
    if len(last):
        used[-1] = last[-1] + 1 - alone - lanes * (len(last) - 1)
    lengths = np.concatenate([-(-counts[:alone] // lanes), counts[last]])
    return used, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def number_entities(keys: Words) -> tuple[npt.NDArray[np.int32], Words, npt.NDArray[np.int32]]:
    """Number entities from 0 as they come.

    Returns:
        Each row's entity, shape (n,); the entities' names, shape (entities, width); and their rows, shape (entities,).
    """
    slots = 1 << max(len(keys).bit_length() - 1, 4)
    codes, words, counts, known = number_with(keys, slots)
    if known < 0:  # with few rows each there are more entities than a small table holds
        codes, words, counts, known = number_with(keys, 4 * slots)
    return codes, words[:known].copy(), counts[:known].copy()


@numba.njit(cache=True, nogil=True)
def number_with(keys, slots):
    """As :func:`number_entities`, with a hash table of open addresses; the fewer slots, the more are in the cache.

    Returns:
        Codes, names and rows, the latter two with room for an entity each row; and how many entities there are, -1
        where they would take more than half of the slots.
    """
    table, known = np.full(slots, -1, np.int32), 0
    codes, words, counts = np.empty(len(keys), np.int32), np.empty_like(keys), np.zeros(len(keys), np.int32)
    for i in range(len(keys)):
        slot = np.int64(hash_of(keys, i) & np.uint64(slots - 1))
        code = np.int64(table[slot])
        while code >= 0:
            if _equal(words, code, keys, i):
                break
            slot = (slot + 1) & (slots - 1)
            code = np.int64(table[slot])
        if code < 0:
            code = np.int64(known)
            known += 1
            if 2 * known > slots:
                known = -1
                break
            table[slot] = code
            for k in range(keys.shape[1]):
                words[code, k] = keys[i, k]
        codes[i] = code
        counts[code] += 1
    return codes, words, counts, known


@numba.njit(inline="always")
def _equal(these, one, those, other):
    same = True
    for k in range(these.shape[1]):
        same = same and these[one, k] == those[other, k]
    return same


@numba.njit(cache=True, nogil=True)
def rows_by_entity(codes, entities, starts):
    """Positions of the rows of each entity, one after the other, and within it as they came; int32 of shape (n,).

    Args:
        codes: The entity of each row.
        entities: In which order.
        starts: Where the rows of each of them begin.
    """
    place = np.empty(len(entities), np.int64)
    for k in range(len(entities)):
        place[entities[k]] = starts[k]
    order = np.empty(codes.size, np.int32)
    for i in range(codes.size):
        order[place[codes[i]]] = i
        place[codes[i]] += 1
    return order


def fill_blocks(
    stored: Floats,
    order: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int64],
    alone: int,
    starts: npt.NDArray[np.int64],
    lanes: int,
) -> Floats:
    """Rows in blocks.

    Args:
        stored: Of each row, shape (n, width).
        order: Rows of the first entity, then of the second, and so on.
        ends: Where in ``order`` the rows of each entity end.
        alone: How many entities, the first ones, have a block each.
        starts: Where the rows of each block begin.
        lanes: Of a block.

    Returns:
        Shape (rows, width, lanes).
    """
    rows = np.empty((int(starts[-1]), stored.shape[1], lanes), np.float32)
    _filler(stored.shape[1], lanes)(stored, order, ends, alone, starts, rows)
    return rows


@cache
def _filler(width: int, lanes: int) -> Callable[..., None]:
    """Compiled for a width: copying a row is then a few instructions, and no loop."""

    def fill(stored, order, ends, alone, starts, rows) -> None:
        """One block after the other, each in the cache while it is written."""
        k = 0
        for entity in range(ends.size):
            block, lane = entity, 0
            if entity >= alone:
                block, lane = alone + (entity - alone) // lanes, (entity - alone) % lanes
            if lane == 0:
                rows[starts[block] : starts[block + 1]] = 0
            row = starts[block]
            while k < ends[entity]:
                i = order[k]
                for a in range(width):
                    rows[row, a, lane] = stored[i, a]
                k += 1
                if entity >= alone:
                    row += 1
                else:
                    lane += 1
                    if lane == lanes:
                        row, lane = row + 1, 0

    return cast(Callable[..., None], numba.njit(cache=True, nogil=True)(variant(fill, width, lanes)))
