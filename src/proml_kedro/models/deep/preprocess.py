"""Raw values to the two matrices that a network reads, in TensorFlow: the same code trains, scores and is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Columns
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.lookup import Bucketer, TextLookup, crossed
from proml_kedro.models.deep.scaler import Scaler
from proml_kedro.models.deep.stand_ins import StandIns
from proml_kedro.models.deep.statistics import Statistics
from proml_kedro.models.deep.tokens import composed

_ROWS = 65_536  # rows at once


class Preprocess:
    """From columns to matrices, by what has been learned about the columns.

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
        start = sum(self.numbers.values())
        self.numbers |= {one.name: 1 for one in bucketed}
        self.texts = [one.name for one in layout.categoricals if one.is_text]
        self._scale = Scaler(layout, statistics)
        self._bucket = Bucketer(bucketed, statistics, start)
        self._words = {one.name for one in layout.categoricals if one.form == "text"}
        self._replace = StandIns(layout, statistics)
        self._look_up = TextLookup(layout, statistics)
        self.tables = self._look_up.tables
        shapes = [tf.TensorSpec((None, sum(self.numbers.values())), tf.float64)]
        shapes.append(tf.TensorSpec((None, len(self.texts)), tf.string))
        self._traced = tf.function(self.__call__, input_signature=shapes)

    def __call__(self, numbers: Any, texts: Any) -> tuple[Any, Any]:
        """Compute the matrices, in a graph of TensorFlow.

        Args:
            numbers: float64 of shape (n, raw numbers).
            texts: Strings of shape (n, raw texts).

        Returns:
            float32 of shape (n, width), int32 of shape (n, ids).
        """
        return self._scale(numbers), self._ids(numbers, texts)

    def raw(self, columns: Columns) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """Arrange columns in the raw matrices of numbers and of texts."""
        rows = row_count(columns)
        numbers = np.empty((rows, sum(self.numbers.values())))
        start = 0
        for name, size in self.numbers.items():
            numbers[:, start : start + size] = columns[name].reshape(rows, size)
            start += size
        texts = np.empty((rows, len(self.texts)), object)
        for position, name in enumerate(self.texts):
            texts[:, position] = composed(columns[name]) if name in self._words else columns[name]
        texts[texts == None] = ""  # noqa: E711 - element by element
        return numbers, texts

    def encode(self, columns: Columns) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Compute the matrices of columns, some rows at a time, as NumPy arrays."""
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
        found = self._look_up(strings) | self._bucket(numbers)
        for one in self.layout.categoricals:
            if one.form == "cross":
                found[one.name] = crossed(one, strings, found)
        parts = [found[one.name] for one in self.layout.categoricals]
        return self._replace(tf.concat(parts, axis=1)) if parts else tf.zeros((tf.shape(numbers)[0], 0), tf.int32)
