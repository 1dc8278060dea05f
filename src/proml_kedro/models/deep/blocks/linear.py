"""``block: linear``: the wide part (Cheng et al., Wide & Deep Learning, DLRS 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from proml_kedro.models.deep.blocks.base import Block, Categories, Width
from proml_kedro.models.deep.blocks.tensors import flat
from proml_kedro.models.deep.table_layer import table_layer


class Linear(Block):
    """A weight for each category, word, item and number, added up.

    Attributes:
        l2: Penalty on the squared weights.
    """

    reads_categories: ClassVar[bool] = True

    block: Literal["linear"]
    l2: Annotated[float, Field(ge=0)] = 0.0

    def width(self, parts: Sequence[Width]) -> Width:
        """Return 1: its output is part of the margin."""
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Add a table of width 1 for the categories and a dense layer for everything else."""
        import keras

        penalty = keras.regularizers.L2(self.l2) if self.l2 else None
        dense = [value for value in values if not isinstance(value, Categories)]
        terms = []
        if dense:
            layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer=penalty, name=f"{name}_numbers")
            terms.append(layer(flat(dense)))
        categories = [value for value in values if isinstance(value, Categories)]
        for position, value in enumerate(categories):
            table = table_layer(
                sum(value.sizes),
                1,
                embeddings_initializer="zeros",
                embeddings_regularizer=penalty,
                name=f"{name}_table{position}",
            )
            terms.append(keras.ops.sum(_weights(table, value), axis=1))
        return keras.layers.add(terms) if len(terms) > 1 else terms[0]


def _weights(table: Any, categories: Categories) -> Any:
    """Look up the weight of each id, 0 for padding; shape (n, columns, 1)."""
    import numpy as np
    from keras import ops

    columns = np.array(categories.columns)
    starts = np.repeat(np.cumsum([0, *categories.sizes[:-1]]), columns).astype(np.int32)
    weights = table(categories.ids + starts)
    if columns.max() == 1:
        return weights
    always = np.repeat(columns == 1, columns)
    counted = ops.logical_or(ops.not_equal(categories.ids, 0), always)
    return weights * ops.expand_dims(ops.cast(counted, weights.dtype), -1)
