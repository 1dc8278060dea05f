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

from proml_kedro.models.mixed.streamed.kernels.compile import triangle, variant
from proml_kedro.models.mixed.streamed.storage.encode import Floats, Slopes
from proml_kedro.models.mixed.streamed.storage.entities import Bounds, Rows, number_entities, sampled, without_small
from proml_kedro.models.mixed.streamed.storage.keys import Words

_ALONE = 512  # rows from which an entity has a block of its own
_ALL_LANES_ONE_ENTITY = 0  # lanes in use of such a block, as the kernels know it


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
    bounded, left_out = sampled(Rows(*number_entities(keys), numbers), bounds)
    known, loose = without_small(bounded, bounds.least)
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
