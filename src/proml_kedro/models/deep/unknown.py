"""Ids that training takes for unknown, so that what a category stands for that it has not seen is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.statistics import FIRST, UNKNOWN

_PRIME = 2**31 - 1

Draw = npt.NDArray[np.int64]
"""A hash of row numbers for each column of ids, shape (2, columns): factors and summands."""


class Hiding:
    """Which ids are hidden in an epoch: a share of each column's, whatever other columns there are.

    A row is hidden in a column when a hash of its number, drawn anew for each epoch and column, is small (Carter and
    Wegman, "Universal classes of hash functions", 1979). That costs three operations a batch, and the same rows are
    hidden however they are put into batches.

    Args:
        layout: The columns.
        share: Share of the categories, words and items of each input that are to be unknown.
        unknown: Share that is unknown anyway, by categorical of the layout.
    """

    def __init__(self, layout: Layout, share: float, unknown: Sequence[float]) -> None:
        shares: list[float] = []
        self._keys: list[int] = []
        for one, found in zip(layout.categoricals, unknown, strict=True):
            wanted = max(0.0, (share - found) / (1 - found)) if one.form != "buckets" and found < 1 else 0.0
            shares += [wanted] * one.length
            self._keys += [crc32(f"{one.name} {position}".encode()) for position in range(one.length)]
        self._least = (np.array(shares) * _PRIME).astype(np.int64)

    def draw(self, seed: int, epoch: int, part: int) -> Draw:
        """Draw the hashes of an epoch's part."""
        found = [np.random.default_rng([seed, epoch, part, key]).integers(1, _PRIME, 2) for key in self._keys]
        return np.array(found, np.int64).reshape(len(found), 2).T

    def hide(self, ids: Any, rows: Any, draw: Any) -> Any:
        """Replace the ids to be hidden by that of unknown ones.

        Args:
            ids: Integer tensor of shape (n, columns).
            rows: Their numbers, integer tensor of shape (n,).
            draw: As :meth:`draw` returned it.
        """
        import tensorflow as tf

        if not self._least.any():
            return ids
        hashes = (tf.cast(rows, tf.int64)[:, None] * draw[0] + draw[1]) % _PRIME
        return tf.where((hashes < self._least) & (ids >= FIRST), UNKNOWN, ids)


class UnknownCounts:
    """How much of each categorical is unknown, of ids that come in parts."""

    def __init__(self, layout: Layout) -> None:
        self._columns = [layout.columns_of_ids(position) for position in range(len(layout.categoricals))]
        self._present, self._unknown = np.zeros(layout.id_count), np.zeros(layout.id_count)

    def add(self, ids: Array) -> None:
        """Count the ids of more rows, shape (n, columns)."""
        self._present += np.sum(ids >= UNKNOWN, axis=0)
        self._unknown += np.sum(ids == UNKNOWN, axis=0)

    def shares(self) -> list[float]:
        """Return the share of the ids of each categorical that are unknown, 0 where there is none at all."""
        sums = ((self._unknown[one].sum(), self._present[one].sum()) for one in self._columns)
        return [float(unknown / present) if present else 0.0 for unknown, present in sums]
