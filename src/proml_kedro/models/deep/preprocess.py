"""Raw values to the two matrices that a network reads, in TensorFlow: the same code trains, scores and is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Columns
from proml_kedro.models.deep.layout import Categorical, Layout
from proml_kedro.models.deep.statistics import FIRST, MISSING, UNKNOWN, Statistics

_FARTHEST = 10.0  # deviations from the mean; a value beyond says no more, and would drown all others
_ROWS = 65_536  # rows at once
_BETWEEN = "\x1f"  # stands between the parts of a cross: the separator of units, which no category holds


def tokens(texts: Any, one: Categorical) -> Any:
    """The words or items of texts, filled up with empty ones; string tensor of shape (n, length)."""
    import tensorflow as tf

    if one.separator is None:
        small = tf.strings.lower(texts, encoding="utf-8")
        parts = tf.strings.split(tf.strings.regex_replace(small, r"[^\pL\pN]+", " "))
    else:
        parts = tf.strings.split(texts, sep=one.separator)
        parts = tf.ragged.map_flat_values(tf.strings.strip, parts)
    if one.last:
        parts = parts[:, -one.length :]
    return parts.to_tensor("", shape=(None, one.length))


class Preprocess:
    """Columns to matrices, by what has been learned about them.

    Missing numbers are NaN, missing texts are empty, missing vectors are NaN.

    Args:
        layout: The order of the matrices' columns.
        statistics: What training has learned.

    Attributes:
        numbers: Inputs whose values are numbers, with how many each has; the raw matrix of numbers holds them in order.
        texts: Inputs whose values are texts; the raw matrix of texts holds them in order.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        import tensorflow as tf

        self.layout = layout
        bucketed = [one for one in layout.categoricals if one.form == "buckets"]
        self.numbers = {one.name: 1 for one in layout.numbers} | {one.name: one.size for one in layout.vectors}
        self.numbers |= {one.name: 1 for one in bucketed}
        self.texts = [one.name for one in layout.categoricals if one.form not in ("buckets", "cross")]
        self._scaler = _Scaler(layout, statistics)
        self._bucketer = _Bucketer(bucketed, statistics, len(layout.numbers) + sum(one.size for one in layout.vectors))
        self.tables = {table: _lookup_table(known) for table, known in statistics.vocabularies.items()}
        shapes = [tf.TensorSpec((None, sum(self.numbers.values())), tf.float64)]
        shapes.append(tf.TensorSpec((None, len(self.texts)), tf.string))
        self._traced = tf.function(self.__call__, input_signature=shapes)

    def __call__(self, numbers: Any, texts: Any) -> tuple[Any, Any]:
        """The matrices, in a graph of TensorFlow.

        Args:
            numbers: float64 of shape (n, raw numbers).
            texts: Strings of shape (n, raw texts).

        Returns:
            float32 of shape (n, width), int32 of shape (n, ids).
        """
        return self._scaler(numbers), self._ids(numbers, texts)

    def raw(self, columns: Columns) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """The raw matrices of columns."""
        rows = row_count(columns)
        numbers = np.empty((rows, sum(self.numbers.values())))
        start = 0
        for name, size in self.numbers.items():
            numbers[:, start : start + size] = columns[name].reshape(rows, size)
            start += size
        texts = np.empty((rows, len(self.texts)), object)
        for position, name in enumerate(self.texts):
            texts[:, position] = columns[name]
        texts[texts == None] = ""  # noqa: E711 - element by element
        return numbers, texts

    def encode(self, columns: Columns) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """The matrices of columns, outside of a graph."""
        rows = row_count(columns)
        numbers = np.empty((rows, self.layout.width), np.float32)
        ids = np.empty((rows, self.layout.id_count), np.int32)
        for start in range(0, rows, _ROWS):
            part = slice(start, start + _ROWS)
            found = self._traced(*self.raw({name: values[part] for name, values in columns.items()}))
            numbers[part], ids[part] = (one.numpy() for one in found)
        return numbers, ids

    def _ids(self, numbers: Any, texts: Any) -> Any:
        import tensorflow as tf

        strings = {name: texts[:, position] for position, name in enumerate(self.texts)}
        buckets = self._bucketer(numbers)
        found = dict(self._looked_up(strings))
        found |= {name: buckets[:, position : position + 1] for position, name in enumerate(self._bucketer.names)}
        for one in self.layout.categoricals:
            if one.form == "cross":
                found[one.name] = _crossed(one, strings, found)
        parts = [found[one.name] for one in self.layout.categoricals]
        return tf.concat(parts, axis=1) if parts else tf.zeros((tf.shape(numbers)[0], 0), tf.int32)

    def _looked_up(self, strings: dict[str, Any]) -> Any:
        """Ids of everything that is text, one lookup for each table."""
        import tensorflow as tf

        by_table: dict[str, list[Categorical]] = {}
        for one in self.layout.categoricals:
            if one.name in strings:
                by_table.setdefault(one.table, []).append(one)
        for table, members in by_table.items():
            cut = [
                strings[one.name][:, None]
                if one.length == 1 and one.form == "category"
                else tokens(strings[one.name], one)
                for one in members
            ]
            together = tf.concat(cut, axis=1) if len(cut) > 1 else cut[0]
            bins = members[0].bins
            ids = _hashed(together, bins) if bins is not None else self.tables[table].lookup(together)
            split = tf.split(ids, [one.length for one in members], axis=1) if len(members) > 1 else [ids]
            yield from zip((one.name for one in members), split, strict=True)


def _lookup_table(known: Sequence[str]) -> Any:
    import tensorflow as tf

    keys = tf.constant(["", *known])
    values = tf.constant([MISSING, *range(FIRST, FIRST + len(known))], tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), UNKNOWN)


def _hashed(texts: Any, bins: int) -> Any:
    import tensorflow as tf

    found = FIRST + tf.cast(tf.strings.to_hash_bucket_fast(texts, bins), tf.int32)
    return tf.where(texts == "", MISSING, found)


def _crossed(one: Categorical, strings: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The id of each combination; nothing when a part is missing. Shape (n, 1)."""
    import tensorflow as tf

    parts = [strings[name] if name in strings else tf.strings.as_string(ids[name][:, 0]) for name in one.of]
    present = [strings[name] != "" if name in strings else ids[name][:, 0] != MISSING for name in one.of]
    hashed = _hashed(tf.strings.join(parts, _BETWEEN), one.bins or 0)
    return tf.where(tf.reduce_all(tf.stack(present), axis=0), hashed, MISSING)[:, None]


class _Scaler:
    """Raw numbers and vectors to the matrix of numbers; all columns at once, since each operation costs time."""

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        self._layout = layout
        plain = [[0.0, 1.0] if one.scaling == "quantile" else statistics.scales[one.name] for one in layout.numbers]
        sizes = [statistics.scales[one.name][0] for one in layout.vectors for _ in range(one.size)]
        self._means = np.array([*(mean for mean, _ in plain), *(0.0 for _ in sizes)])
        self._deviations = np.array([*(deviation for _, deviation in plain), *sizes])
        self._logs = np.array([*(one.scaling == "log" for one in layout.numbers), *(False for _ in sizes)])
        self._ranked = [position for position, one in enumerate(layout.numbers) if one.scaling == "quantile"]
        cuts = [list(statistics.scales[layout.numbers[position].name]) for position in self._ranked]
        longest = max(map(len, cuts), default=0)
        ranks = [np.linspace(-1, 1, len(one)).tolist() if len(one) > 1 else [0.0] for one in cuts]
        self._cuts = np.array([one + one[-1:] * (longest + 1 - len(one)) for one in cuts])
        self._ranks = np.array([one + one[-1:] * (longest + 1 - len(one)) for one in ranks])

    def __call__(self, raw: Any) -> Any:
        """Scaled numbers and vectors with 0 for missing, then indicators; float32 of shape (n, width)."""
        import tensorflow as tf

        values = raw[:, : len(self._means)]
        missing = tf.math.is_nan(values)
        scaled = values
        if self._logs.any():
            scaled = tf.where(self._logs, tf.sign(values) * tf.math.log1p(tf.abs(values)), values)
        scaled = tf.clip_by_value((scaled - self._means) / self._deviations, -_FARTHEST, _FARTHEST)
        if self._ranked:
            scaled = self._with_ranks(values, scaled)
        parts = [tf.cast(tf.where(missing, tf.zeros_like(scaled), scaled), tf.float32)]
        if self._layout.indicators:
            parts.append(tf.cast(missing[:, : len(self._layout.numbers)], tf.float32))
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _with_ranks(self, values: Any, scaled: Any) -> Any:
        """The same with ranks, from -1 to 1, in the columns of numbers that are scaled so."""
        import tensorflow as tf

        chosen = tf.transpose(tf.gather(values, self._ranked, axis=1))
        cuts = tf.constant(self._cuts)
        above = tf.searchsorted(cuts, chosen, side="right") - 1
        below = tf.clip_by_value(above, 0, self._cuts.shape[1] - 2)
        low, high = (tf.gather(cuts, below + step, batch_dims=1) for step in (0, 1))
        first, second = (tf.gather(tf.constant(self._ranks), below + step, batch_dims=1) for step in (0, 1))
        share = tf.clip_by_value(tf.math.divide_no_nan(chosen - low, high - low), 0.0, 1.0)
        ranks = tf.transpose(first + share * (second - first))
        order = np.arange(len(self._means))
        order[self._ranked] = len(order) + np.arange(len(self._ranked))
        return tf.gather(tf.concat([scaled, ranks], axis=1), order, axis=1)


class _Bucketer:
    """Raw bucketed numbers, which come after all others, to ids."""

    def __init__(self, bucketed: Sequence[Categorical], statistics: Statistics, start: int) -> None:
        self.names = [one.name for one in bucketed]
        self._start = start
        bounds = [list(statistics.bounds[one.name]) for one in bucketed]
        longest = max([1, *map(len, bounds)])
        self._counts = np.array([len(one) for one in bounds], np.int32)
        self._bounds = np.array([one + [np.inf] * (longest - len(one)) for one in bounds]).reshape(len(bounds), longest)

    def __call__(self, raw: Any) -> Any:
        """Ids of the buckets; int32 of shape (n, bucketed)."""
        import tensorflow as tf

        values = raw[:, self._start :]
        if not self.names:
            return tf.zeros((tf.shape(raw)[0], 0), tf.int32)
        found = tf.transpose(tf.searchsorted(tf.constant(self._bounds), tf.transpose(values), side="right"))
        return tf.where(tf.math.is_nan(values), MISSING, FIRST + tf.minimum(found, self._counts))
