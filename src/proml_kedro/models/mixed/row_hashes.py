"""Hash of the rows of each entity, by which an update finds the entities whose rows have changed.

It depends on the rows and not on their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

Hashes = npt.NDArray[np.uint64]
"""One hash for each row or level."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def of_keys(keys: Array) -> Hashes:
    """Hash the name of each level, shape (levels,). Padding of the fixed-width array does not affect the hash."""
    if not len(keys):
        return np.zeros(0, np.uint64)
    letters = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1)
    found = np.zeros(len(keys), np.uint64)
    for position in range(letters.shape[1]):  # a zero of the padding leaves the hash unchanged
        letter = letters[:, position].astype(np.uint64)
        found = np.where(letter > 0, _mixed(found ^ (letter + np.uint64(257 * position))), found)
    return found


def of_rows(numbers: Sequence[Array], levels: Sequence[tuple[Array, Hashes]]) -> Hashes:
    """Hash each row, shape (n,).

    Args:
        numbers: Arrays of shape (n,) or (n, k); they are hashed in float32.
        levels: For each random effect the level of each row, -1 for none, and the hashes of the levels.
    """
    found = np.zeros(len(numbers[0]), np.uint64)
    columns = [column for one in numbers for column in np.asarray(one, np.float32).reshape(len(one), -1).T]
    for column in columns:
        found = _mixed(found ^ np.ascontiguousarray(column).view(np.uint32).astype(np.uint64))
    for codes, hashes in levels:
        name = np.where(codes < 0, np.uint64(0), np.append(hashes, np.uint64(0))[codes])
        found = _mixed(found ^ name)
    return found


def by_level(rows: Hashes, codes: Array, levels: int) -> Hashes:
    """Sum the hashes of the rows of each level, modulo 2^64; shape (levels,)."""
    found = np.zeros(levels, np.uint64)
    np.add.at(found, codes[codes >= 0], rows[codes >= 0])
    return found


def _mixed(values: Hashes) -> Hashes:
    """Mix the bits of each value, so that every bit depends on every bit (splitmix64; Steele, Lea and Flood, 2014)."""
    values = values + _ODD
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
