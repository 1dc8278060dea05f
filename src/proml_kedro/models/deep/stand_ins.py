"""What stands for an id that training has not met: nothing has trained its own vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.deep.layout import CategoricalInput, Layout
from proml_kedro.models.deep.statistics import FIRST, MISSING, UNKNOWN, Statistics


class StandIns:
    """Replaces ids that training has not met by others that it has.

    A missing category becomes an unknown one, of which training hides some, and a missing number falls into the bucket
    of the median, if no row of training had none. So does a hash whose bin no row of training fell into.

    Args:
        layout: The columns of ids.
        statistics: Which inputs were never missing, and which bins were met.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        self._missing = np.concatenate(
            [np.zeros(0, np.int32), *(_of_missing(one, statistics) for one in layout.categoricals)]
        )
        self._met = [
            (slice(columns[0], columns[-1] + 1), np.asarray(statistics.met[one.table], np.int32))
            for position, one in enumerate(layout.categoricals)
            if one.table in statistics.met and (columns := layout.columns_of_ids(position))
        ]

    def __call__(self, ids: Any) -> Any:
        """Replace ids, int32 of shape (n, columns), in a graph of TensorFlow."""
        import tensorflow as tf

        for columns, met in self._met:
            some = ids[:, columns]
            kept = _among(some, met) | (some < FIRST)
            ids = tf.concat([ids[:, : columns.start], tf.where(kept, some, UNKNOWN), ids[:, columns.stop :]], axis=1)
        return tf.where(ids == MISSING, self._missing, ids) if self._missing.any() else ids


class MetBins:
    """The bins that hashes fall into, of ids that come in parts.

    Args:
        layout: The columns of ids.
    """

    def __init__(self, layout: Layout) -> None:
        self._columns: dict[str, list[int]] = {}
        self._met: dict[str, npt.NDArray[np.int32]] = {}
        for position, one in enumerate(layout.categoricals):
            if one.bins is not None:
                self._columns.setdefault(one.table, []).extend(layout.columns_of_ids(position))
                self._met[one.table] = np.zeros(0, np.int32)

    def add(self, ids: Array) -> None:
        """Note the ids of more rows, shape (n, columns)."""
        for table, columns in self._columns.items():
            new = np.unique(ids[:, columns])
            self._met[table] = np.union1d(self._met[table], new[new >= FIRST]).astype(np.int32)

    def tables(self) -> dict[str, npt.NDArray[np.int32]]:
        """Return the ids that were met, rising, by table."""
        return dict(self._met)


def _of_missing(one: CategoricalInput, statistics: Statistics) -> npt.NDArray[np.int32]:
    """Return what stands for a missing value in each column of a categorical."""
    inputs = one.of or (one.name,)
    if one.form in ("text", "sequence") or not set(inputs) <= set(statistics.complete):
        return np.full(one.length, MISSING, np.int32)  # of words and items it is the padding, which nothing reads
    middle = FIRST + len(statistics.bounds[one.name]) // 2 if one.form == "buckets" else UNKNOWN
    return np.full(one.length, middle, np.int32)


def _among(ids: Any, met: npt.NDArray[np.int32]) -> Any:
    """Tell which ids are among rising ones."""
    import tensorflow as tf

    if not len(met):
        return tf.zeros_like(ids, tf.bool)
    flat = tf.reshape(ids, [-1])
    places = tf.minimum(tf.searchsorted(met, flat), len(met) - 1)
    return tf.reshape(tf.gather(met, places) == flat, tf.shape(ids))
