"""Texts and bucketed numbers turned into ids, in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from proml_kedro.models.deep.layout import CategoricalInput, Layout
from proml_kedro.models.deep.statistics import FIRST, MISSING, UNKNOWN, Statistics
from proml_kedro.models.deep.tokens import tokens

_BETWEEN = "\x1f"  # stands between the parts of a cross: the separator of units, which no category holds


class TextLookup:
    """From texts to the ids of their categories, words or items; one lookup for each table.

    Args:
        layout: Which inputs are texts, and which table each uses.
        statistics: The known categories.

    Attributes:
        tables: TensorFlow's lookup tables by name.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        self.tables = {table: _lookup_table(known) for table, known in statistics.vocabularies.items()}
        self._members: dict[str, list[CategoricalInput]] = {}
        for one in layout.categoricals:
            if one.is_text:
                self._members.setdefault(one.table, []).append(one)

    def __call__(self, strings: Mapping[str, Any]) -> dict[str, Any]:
        """Look up the ids of each text; int32 of shape (n, length) by input.

        Args:
            strings: String tensors of shape (n,) by input, empty for missing.
        """
        import tensorflow as tf

        found: dict[str, Any] = {}
        for table, members in self._members.items():
            cut = [_cut(strings[one.name], one) for one in members]
            together = tf.concat(cut, axis=1) if len(cut) > 1 else cut[0]
            bins = members[0].bins
            ids = hashed(together, bins) if bins is not None else self.tables[table].lookup(together)
            split = tf.split(ids, [one.length for one in members], axis=1) if len(members) > 1 else [ids]
            found |= zip((one.name for one in members), split, strict=True)
        return found


def _cut(texts: Any, one: CategoricalInput) -> Any:
    return texts[:, None] if one.length == 1 and one.form == "category" else tokens(texts, one)


def _lookup_table(known: Sequence[str]) -> Any:
    import tensorflow as tf

    keys = tf.constant(["", *known])
    values = tf.constant([MISSING, *range(FIRST, FIRST + len(known))], tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), UNKNOWN)


def hashed(texts: Any, bins: int) -> Any:
    """Hash texts to ids; those of empty ones are :data:`MISSING`. int32 of the texts' shape."""
    import tensorflow as tf

    found = FIRST + tf.cast(tf.strings.to_hash_bucket_fast(texts, bins), tf.int32)
    return tf.where(texts == "", MISSING, found)


def crossed(one: CategoricalInput, strings: Mapping[str, Any], ids: Mapping[str, Any]) -> Any:
    """Hash each combination of values to an id, :data:`MISSING` when a part is missing; shape (n, 1).

    Args:
        one: The cross.
        strings: Texts by input.
        ids: Ids of everything that is no text, by input.
    """
    import tensorflow as tf

    parts = [strings[name] if name in strings else tf.strings.as_string(ids[name][:, 0]) for name in one.of]
    present = [strings[name] != "" if name in strings else ids[name][:, 0] != MISSING for name in one.of]
    combined = hashed(tf.strings.join(parts, _BETWEEN), one.bins or 0)
    return tf.where(tf.reduce_all(tf.stack(present), axis=0), combined, MISSING)[:, None]


class Bucketer:
    """From raw bucketed numbers to the ids of their buckets.

    Args:
        bucketed: The inputs, in the order of their columns.
        statistics: The bounds of the buckets.
        start: Column of the first one in the raw matrix of numbers, where they follow all others.

    Attributes:
        names: Of the inputs.
    """

    def __init__(self, bucketed: Sequence[CategoricalInput], statistics: Statistics, start: int) -> None:
        self.names = [one.name for one in bucketed]
        self._start = start
        bounds = [list(statistics.bounds[one.name]) for one in bucketed]
        longest = max([1, *map(len, bounds)])
        self._counts = np.array([len(one) for one in bounds], np.int32)
        self._bounds = np.array([one + [np.inf] * (longest - len(one)) for one in bounds]).reshape(len(bounds), longest)

    def __call__(self, raw: Any) -> dict[str, Any]:
        """Find the bucket of each number; int32 of shape (n, 1) by input.

        Args:
            raw: float64 of shape (n, raw numbers), NaN for missing.
        """
        import tensorflow as tf

        if not self.names:
            return {}
        values = raw[:, self._start :]
        found = tf.transpose(tf.searchsorted(tf.constant(self._bounds), tf.transpose(values), side="right"))
        ids = tf.where(tf.math.is_nan(values), MISSING, FIRST + tf.minimum(found, self._counts))
        return {name: ids[:, position : position + 1] for position, name in enumerate(self.names)}
