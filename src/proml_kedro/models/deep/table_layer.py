"""Tables of vectors that are looked up row by row."""

from __future__ import annotations

from typing import Any


def table_layer(rows: int, dimension: int, **settings: Any) -> Any:
    """Make a Keras layer from ids to rows of a table.

    Keras' own reads the whole table for each batch, which costs a copy of it where an optimiser moves single rows.

    Args:
        rows: Of the table.
        dimension: Of a row.
        settings: Of ``keras.layers.Embedding``.
    """
    import keras
    import tensorflow as tf

    class Table(keras.layers.Embedding):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return keras.ops.cast(tf.gather(self.embeddings.value, inputs), self.compute_dtype)

    return Table(rows, dimension, **settings)
