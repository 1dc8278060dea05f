"""Second pass: the rows of a part, in the blocks that :mod:`.kernels` sweeps.

Entities are sorted by how many rows they have and put side by side, one in each lane of a block, so that lanes are
about equally long. An entity of very many rows has a block to itself: its rows go round over all lanes.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.forms import LINEAR, LOGISTIC, POISSON, WEIGHTED, width_of
from proml_kedro.models.mixed.streamed.kernels import lanes_of, triangle
from proml_kedro.models.mixed.streamed.keys import Words, hash_of

_ALONE = 512  # rows from which an entity has a block of its own

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

    def place(
        self,
        codes: npt.NDArray[np.int32],
        place: npt.NDArray[np.int64],
        alone: int,
        numbers: Floats,
        starts: npt.NDArray[np.int64],
        rows: Floats,
    ) -> None:
        """See :func:`place_rows`."""
        how = self.columns, self.means, self.scales, self.form, self.weighted, *self.unit
        place_rows(codes, place, alone, numbers, *how, starts, rows)


@dataclass(frozen=True)
class Part:
    """Some entities and all of their rows. All arrays are memory-mapped.

    Attributes:
        rows: float32 of shape (rows, width, lanes), see :func:`.forms.width_of`.
        starts: int64 of shape (blocks + 1,).
        used: int8 of shape (blocks,): lanes that hold an entity, 0 for a block of one entity.
        words: uint64 of shape (entities, width): their names, in the order of blocks and lanes.
        counts: Shape (entities,): their rows, int64; where rows have weights the sum of these, float64.
        state: float32 of shape (blocks, d + d (d + 1) / 2, lanes): u and posterior covariances.
    """

    rows: Floats
    starts: npt.NDArray[np.int64]
    used: npt.NDArray[np.int8]
    words: Words
    counts: npt.NDArray[Any]
    state: Floats

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What :func:`pack` has written; the state may be changed, and stays changed."""
        rows, starts, used, words, counts = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("rows", "starts", "used", "words", "counts")
        )
        return cls(rows, starts, used, words, counts, np.load(folder / "state.npy", mmap_mode="r+"))

    @property
    def alone(self) -> int:
        """Entities with a block of their own; they come first."""
        return int(np.count_nonzero(np.asarray(self.used) == 0))

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


def pack(keys: Words, numbers: Floats, slopes: Slopes, folder: Path) -> None:
    """Write one part.

    Args:
        keys: Shape (n, width): names of the rows' entities.
        numbers: Shape (n, k): offset, slopes, label, and weight if there is one.
        slopes: How slopes are made of them.
        folder: Appears when it is complete.
    """
    d, lanes = len(slopes.columns), slopes.shape[1]
    codes, first_rows, counts = number_entities(keys)
    order, alone = _order(counts)
    used, starts = _blocks(counts[order], alone, lanes)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    temporary = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shape = (int(starts[-1]), *slopes.shape)
    if shape[0]:
        rows = np.lib.format.open_memmap(temporary / "rows.npy", "w+", np.float32, shape)
        slopes.place(codes, place, alone, numbers, starts, rows)
        del rows
    else:  # an empty file cannot be mapped
        np.save(temporary / "rows.npy", np.zeros(shape, np.float32))
    state = np.zeros((len(used), d + triangle(d), lanes), np.float32)
    weight = slopes.weights(numbers)
    sizes = counts if weight is None else np.bincount(codes, weight, len(counts))
    arrays = {"starts": starts, "used": used, "words": keys[first_rows[order]], "counts": sizes[order], "state": state}
    for name, array in arrays.items():
        np.save(temporary / f"{name}.npy", array)
    temporary.rename(folder)


def pack_population(numbers: Floats, slopes: Slopes) -> Floats:
    """Rows that have no entity, one after the other over all lanes; shape (rows, width, lanes)."""
    width, lanes = slopes.shape
    rows = np.zeros((-(-len(numbers) // lanes), width, lanes), np.float32)
    nobody, starts = np.zeros(len(numbers), np.int32), np.array([0, len(rows)])
    slopes.place(nobody, starts[:1], 1, numbers, starts, rows)
    return rows


def _order(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Entities that get blocks of their own, then the others from few to many rows; and how many the former are."""
    order = np.argsort(np.where(counts > _ALONE, 0, counts), kind="stable")
    return order, int(np.count_nonzero(counts > _ALONE))


def _blocks(
    counts: npt.NDArray[np.int64], alone: int, lanes: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Lanes in use of each block, and where its rows begin, for entities in their order."""
    last = np.minimum(np.arange(alone, len(counts), lanes) + lanes, len(counts)) - 1  # the longest of each block
    used = np.zeros(alone + len(last), np.int8)
    used[alone:] = lanes
    if len(last):
        used[-1] = last[-1] + 1 - alone - lanes * (len(last) - 1)
    lengths = np.concatenate([-(-counts[:alone] // lanes), counts[last]])
    return used, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@numba.njit(cache=True, nogil=True)
def number_entities(keys):
    """Number entities from 0 as they come, with a hash table of open addresses.

    Returns:
        int32 of shape (n,): each row's entity; int64 of shape (entities,): the first row, and the number of rows.
    """
    slots = 16
    while slots < 2 * len(keys):
        slots *= 2
    table = np.full(slots, -1, np.int32)
    codes = np.empty(len(keys), np.int32)
    first_rows, counts = np.empty(len(keys), np.int64), np.zeros(len(keys), np.int64)
    known = 0
    for i in range(len(keys)):
        slot = np.int64(hash_of(keys, i) & np.uint64(slots - 1))
        while table[slot] >= 0 and not _equal(keys, first_rows[table[slot]], i):
            slot = (slot + 1) % slots
        if table[slot] < 0:
            table[slot] = known
            first_rows[known] = i
            known += 1
        codes[i] = table[slot]
        counts[table[slot]] += 1
    return codes, first_rows[:known].copy(), counts[:known].copy()


@numba.njit(inline="always")
def _equal(keys, one, other):
    same = True
    for k in range(keys.shape[1]):
        same = same and keys[one, k] == keys[other, k]
    return same


@numba.njit(cache=True, nogil=True)
def place_rows(
    codes, place, alone, numbers, columns, means, scales, form, weighted, label_mean, label_deviation, starts, rows
) -> None:  # fmt: skip
    """Write each row to where its entity is, in its form; see :mod:`.forms`.

    ``place`` is each entity's position in the order of blocks and lanes; z is (number - mean) times scale, or 1 where
    the column is -1. What is missing counts as the mean, and as no offset.
    """
    lanes = rows.shape[2]
    last = numbers.shape[1] - 1
    filled = np.zeros(place.size, np.int64)
    for i in range(codes.size):
        entity = codes[i]
        count, at = filled[entity], place[entity]
        filled[entity] += 1
        if at < alone:
            row, lane = starts[at] + count // lanes, count % lanes
        else:
            row, lane = starts[alone + (at - alone) // lanes] + count, (at - alone) % lanes
        weight = float(numbers[i, last]) if weighted else 1.0
        label = float(numbers[i, last - 1] if weighted else numbers[i, last])
        offset = float(numbers[i, 0]) if math.isfinite(numbers[i, 0]) else 0.0
        times = 1.0
        if form == LINEAR:
            times = math.sqrt(weight)
            offset = times * (offset - (label - label_mean)) / label_deviation
        elif form == POISSON:
            offset += math.log(weight)
            rows[row, 1 + columns.size, lane] = weight * label
        else:
            times = 2.0 * label - 1.0
            offset *= times
            if form == WEIGHTED:
                rows[row, 1 + columns.size, lane] = weight
        rows[row, 0, lane] = offset
        for a in range(columns.size):
            z = 1.0
            if columns[a] >= 0:
                z = (numbers[i, columns[a]] - means[a]) * scales[a]
            rows[row, 1 + a, lane] = times * z if math.isfinite(z) else 0.0
