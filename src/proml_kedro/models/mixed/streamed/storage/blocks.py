"""Second pass: packs the rows of a part into the blocks that the kernels sweep.

Entities are sorted by their number of rows and put side by side, one in each lane of a block, so that lanes are about
equally long. An entity with very many rows has a block of its own, in which its rows alternate between the lanes.
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

from proml_kedro.models.mixed.streamed.kernels.variants import name_variant
from proml_kedro.models.mixed.streamed.row_format import triangle
from proml_kedro.models.mixed.streamed.storage.encode import Floats, RowEncoder
from proml_kedro.models.mixed.streamed.storage.entities import (
    EntityRows,
    RowBounds,
    number_entities,
    sampled,
    without_small,
)
from proml_kedro.models.mixed.streamed.storage.keys import Words

_ALONE = 512  # an entity with more rows has a block of its own
_ALL_LANES_ONE_ENTITY = 0  # mark of such a block among the lanes in use


@dataclass(frozen=True)
class PackedPart:
    """Part of the entities, with all of their rows. All arrays are memory-mapped.

    Attributes:
        rows: float32 of shape (rows, width, lanes), see :func:`.row_format.width_of`.
        starts: int64 of shape (blocks + 1,): first row of each block.
        used: int8 of shape (blocks,): number of lanes that hold an entity, 0 for a block of one entity.
        words: uint64 of shape (entities, width): names, in the order of blocks and lanes.
        counts: Shape (entities,): number of rows, int32; with weights the sum of these, float64.
        loose: Rows without an entity, and of entities that have too few; as ``rows``.
        left_out: Number of rows that samples omit, int64 of shape ().
        state: float32 of shape (blocks, d + d (d + 1) / 2, lanes): u and posterior covariance of each entity.
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
        """Map what :func:`pack` has written. Changes of the state are written to disk."""
        names = [one.name for one in fields(cls)]
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r+" if name == "state" else "r") for name in names))

    @property
    def alone(self) -> int:
        """Number of entities with a block of their own; they come first."""
        return int(np.count_nonzero(np.asarray(self.used) == _ALL_LANES_ONE_ENTITY))

    def by_entity(self) -> Floats:
        """Return the state of each entity in the order of ``words``; shape (entities, d + d (d + 1) / 2)."""
        alone = self.alone
        rest = self.state[alone:].transpose(0, 2, 1).reshape(-1, self.state.shape[1])
        return np.concatenate([self.state[:alone, :, 0], rest])[: len(self.words)]

    def write_state(self, state: Floats) -> None:
        """Write the state of each entity, as :meth:`by_entity` returns it."""
        alone, (blocks, entries, lanes) = self.alone, self.state.shape
        rest = np.zeros(((blocks - alone) * lanes, entries), np.float32)
        rest[: len(state) - alone] = state[alone:]
        self.state[:alone] = state[:alone, :, None]
        self.state[alone:] = rest.reshape(-1, lanes, entries).transpose(0, 2, 1)


def pack(
    keys: Words, numbers: Floats, nobody: Floats, encoder: RowEncoder, folder: Path, bounds: RowBounds | None = None
) -> None:
    """Pack one part.

    Args:
        keys: Name of each row's entity, shape (n, width).
        numbers: Offset, numbers, label, and weight if there is one; shape (n, k).
        nobody: The same of rows without an entity, shape (m, k).
        encoder: Converts numbers to what is stored.
        folder: Folder that appears when it is complete.
        bounds: Bounds on the rows of an entity.
    """
    d, lanes = len(encoder.columns), encoder.shape[1]
    bounds = bounds or RowBounds()
    bounded, left_out = sampled(EntityRows(*number_entities(keys), numbers), bounds)
    known, loose = without_small(bounded, bounds.least)
    counts = known.counts
    entities, alone = _order(counts)
    used, starts = _blocks(counts[entities], alone, lanes)
    weight = encoder.weights(known.numbers)
    sizes = counts if weight is None else np.bincount(known.codes, weight, len(counts))
    ends = np.cumsum(counts[entities], dtype=np.int64)
    rows = rows_by_entity(known.codes, entities, ends - counts[entities])
    arrays: dict[str, npt.NDArray[Any]] = {
        "rows": fill_blocks(encoder.encode(known.numbers), rows, ends, alone, starts, lanes),
        "starts": starts,
        "used": used,
        "words": known.words[entities],
        "counts": sizes[entities],
        "loose": pack_population(np.concatenate([nobody, loose]), encoder),
        "left_out": np.array(left_out),
        "state": np.zeros((len(used), d + triangle(d), lanes), np.float32),
    }
    temporary = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(temporary / f"{name}.npy", array)
    temporary.rename(folder)


def pack_population(numbers: Floats, encoder: RowEncoder) -> Floats:
    """Pack rows that have no entity, one after the other over all lanes; shape (rows, width, lanes)."""
    n, lanes = len(numbers), encoder.shape[1]
    starts, ends = np.array([0, -(-n // lanes)]), np.array([n])
    return fill_blocks(encoder.encode(numbers), np.arange(n, dtype=np.int32), ends, 1, starts, lanes)


def _order(counts: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], int]:
    """Sort entities: those that get blocks of their own, then the others from few to many rows.

    Returns:
        Order, shape (entities,), and the number of entities with blocks of their own.
    """
    order = np.argsort(np.where(counts > _ALONE, 0, counts).astype(np.uint16), kind="stable")  # by radix
    return order, int(np.count_nonzero(counts > _ALONE))


def _blocks(
    counts: npt.NDArray[np.int32], alone: int, lanes: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Compute the lanes in use of each block, shape (blocks,), and its first row, shape (blocks + 1,).

    Args:
        counts: Rows of each entity in their order, shape (entities,).
        alone: Number of entities with blocks of their own.
        lanes: Lanes of a block.
    """
    last = np.minimum(np.arange(alone, len(counts), lanes) + lanes, len(counts)) - 1  # the longest of each block
    used = np.full(alone + len(last), _ALL_LANES_ONE_ENTITY, np.int8)
    used[alone:] = lanes
    if len(last):
        used[-1] = last[-1] + 1 - alone - lanes * (len(last) - 1)
    lengths = np.concatenate([-(-counts[:alone] // lanes), counts[last]])
    return used, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@numba.njit(cache=True, nogil=True)
def rows_by_entity(codes, entities, starts):
    """Sort rows by entity, and within an entity in their order; int32 of shape (n,).

    Args:
        codes: Entity of each row, shape (n,).
        entities: Order of the entities, shape (entities,).
        starts: First row of each of them, shape (entities,).
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
    """Copy rows into blocks.

    Args:
        stored: Encoded rows, shape (n, width).
        order: Rows of the first entity, then of the second, and so on; shape (n,).
        ends: End of each entity's rows in ``order``, shape (entities,).
        alone: Number of entities, the first ones, that have a block each.
        starts: First row of each block, shape (blocks + 1,).
        lanes: Lanes of a block.

    Returns:
        Shape (rows, width, lanes).
    """
    rows = np.empty((int(starts[-1]), stored.shape[1], lanes), np.float32)
    _filler(stored.shape[1], lanes)(stored, order, ends, alone, starts, rows)
    return rows


@cache
def _filler(width: int, lanes: int) -> Callable[..., None]:
    """Compile for a width: copying a row is then a few instructions without a loop."""

    def fill(stored, order, ends, alone, starts, rows) -> None:
        """Fill one block after the other, so that each is in the cache while it is written."""
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

    return cast(Callable[..., None], numba.njit(cache=True, nogil=True)(name_variant(fill, width, lanes)))
