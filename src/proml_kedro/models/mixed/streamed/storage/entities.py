"""Entities of a part: numbered in the order of their first row, with samples of large ones and without small ones."""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.storage.encode import Floats
from proml_kedro.models.mixed.streamed.storage.keys import Words, hash_of


@dataclass(frozen=True)
class RowBounds:
    """Bounds on the number of rows of an entity.

    Attributes:
        least: Rows of an entity with fewer are treated as rows without an entity.
        most: Of an entity with more rows a random sample of this size is used; None for all.
        seed: Seed of the sample.
    """

    least: int = 1
    most: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class EntityRows:
    """Rows of a part that have an entity.

    Attributes:
        codes: int32 of shape (n,): entity of each row.
        words: uint64 of shape (entities, width): names of the entities.
        counts: int32 of shape (entities,): number of rows of each.
        numbers: float32 of shape (n, k).
    """

    codes: npt.NDArray[np.int32]
    words: Words
    counts: npt.NDArray[np.int32]
    numbers: Floats


def sampled(rows: EntityRows, bounds: RowBounds) -> tuple[EntityRows, int]:
    """Draw a sample of each entity with more rows than ``bounds.most``; return also how many rows are omitted."""
    if bounds.most is None or rows.counts.max(initial=0) <= bounds.most:
        return rows, 0
    stays = sample_rows(rows.words, rows.codes, rows.counts, bounds.most, np.uint64(bounds.seed))
    counts = np.minimum(rows.counts, np.int32(bounds.most))
    return EntityRows(rows.codes[stays], rows.words, counts, rows.numbers[stays]), int(np.count_nonzero(~stays))


def without_small(rows: EntityRows, least: int) -> tuple[EntityRows, Floats]:
    """Separate entities with at least ``least`` rows from the rows of the others, of which the numbers are returned."""
    known = rows.counts >= least
    if known.all():
        return rows, rows.numbers[:0]
    stays = known[rows.codes]
    codes = (np.cumsum(known, dtype=np.int32) - np.int32(1))[rows.codes[stays]]
    return EntityRows(codes, rows.words[known], rows.counts[known], rows.numbers[stays]), rows.numbers[~stays]


@numba.njit(cache=True, nogil=True)
def sample_rows(words, codes, counts, most, seed):
    """Mark a sample of ``most`` rows of each entity that has more; every sample of that size is equally likely.

    Rows are drawn in their order, each with the probability of the rows still needed over the rows still to come
    (Fan, Muller and Rezucha, 1962). Random numbers are hashes of the seed, the name and the row's number within the
    entity.

    Returns:
        bool of shape (n,), true for all rows of other entities.
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


def number_entities(keys: Words) -> tuple[npt.NDArray[np.int32], Words, npt.NDArray[np.int32]]:
    """Number entities from 0 in the order of their first row.

    Args:
        keys: Name of each row's entity, shape (n, width).

    Returns:
        Entity of each row, shape (n,); names of the entities, shape (entities, width); and their numbers of rows, shape
        (entities,).
    """
    slots = 1 << max(len(keys).bit_length() - 1, 4)
    codes, words, counts, known = number_with(keys, slots)
    if known < 0:  # entities with few rows each are too many for the small table
        codes, words, counts, known = number_with(keys, 4 * slots)
    return codes, words[:known].copy(), counts[:known].copy()


@numba.njit(cache=True, nogil=True)
def number_with(keys, slots):
    """Number entities with a hash table of open addresses; a smaller table stays in the cache.

    Returns:
        Codes, names and numbers of rows, the latter two of length n; and the number of entities, -1 where they would
        take more than half of the slots.
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
