"""Raw values to outputs, as one function of TensorFlow: the same function scores in Python and is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.deep.build import run
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.preprocess import Preprocess

_SCORED = 8192  # rows scored at once


class Scorer:
    """A trained network with its preprocessing and its heads.

    Args:
        preprocess: From raw matrices to those that the network reads.
        model: From these matrices to the margins of each head, then whatever is exposed.
        heads: Each with what it has learned, in the order of the margins.
        outputs: Names of all outputs, in order.
    """

    def __init__(
        self, preprocess: Preprocess, model: Any, heads: Sequence[tuple[Head, HeadState]], outputs: Sequence[str]
    ) -> None:
        self.preprocess = preprocess
        self.model = model
        self.outputs = tuple(outputs)
        self._heads = heads

    @cached_property
    def _run(self) -> Any:
        import tensorflow as tf

        shapes = [tf.TensorSpec((None, sum(self.preprocess.numbers.values())), tf.float64)]
        shapes.append(tf.TensorSpec((None, len(self.preprocess.texts)), tf.string))
        return tf.function(self.columns_of, input_signature=shapes).get_concrete_function()

    def columns_of(self, numbers: Any, texts: Any) -> Any:
        """Compute the outputs side by side, float64 of shape (n, outputs), in a graph of TensorFlow.

        Args:
            numbers: float64 of shape (n, raw numbers).
            texts: Strings of shape (n, raw texts).
        """
        import tensorflow as tf

        found = run(self.model, *self.preprocess(numbers, texts), training=False)
        columns = []
        for margin, (head, learned) in zip(found, self._heads, strict=False):
            columns += head.finish(tf.cast(margin, tf.float64), learned)
        parts = [tf.stack(columns, axis=1), *(tf.cast(one, tf.float64) for one in found[len(self._heads) :])]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def __call__(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Score columns; each output has shape (n,)."""
        import tensorflow as tf

        rows = row_count(columns)
        parts = []
        for start in range(0, max(1, rows), _SCORED):
            some = columns if rows <= _SCORED else _slice(columns, start)
            parts.append(self._run(*(tf.constant(one) for one in self.preprocess.raw(some))).numpy())
        matrix: Array = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return {name: matrix[:, position] for position, name in enumerate(self.outputs)}


def _slice(columns: Columns, start: int) -> Mapping[str, Array]:
    return {name: values[start : start + _SCORED] for name, values in columns.items()}
