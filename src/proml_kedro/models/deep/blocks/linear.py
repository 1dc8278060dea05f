"""``block: linear``: the wide part (Cheng et al., Wide & Deep Learning, DLRS 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from proml_kedro.models.deep.blocks.base import Block, Categories, Part, blocks, flat


@blocks.register("linear")
class Linear(Block):
    """A weight for each category and each number, added up.

    Attributes:
        l2: Penalty on the squared weights.
    """

    reads_categories: ClassVar[bool] = True

    block: Literal["linear"]
    l2: Annotated[float, Field(ge=0)] = 0.0

    def width(self, parts: Sequence[Part]) -> Part:
        """One: its output is part of the margin."""
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """A table of width 1 for the categories, a dense layer for everything else."""
        import keras

        penalty = keras.regularizers.L2(self.l2) if self.l2 else None
        dense = [value for value in values if not isinstance(value, Categories)]
        terms = []
        if dense:
            layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer=penalty, name=f"{name}_numbers")
            terms.append(layer(flat(dense)))
        categories = [value for value in values if isinstance(value, Categories)]
        for position, value in enumerate(categories):
            offsets, rows = _offsets(value.sizes)
            table = keras.layers.Embedding(
                rows, 1, embeddings_initializer="zeros", embeddings_regularizer=penalty, name=f"{name}_table{position}"
            )
            terms.append(keras.ops.sum(table(value.ids + offsets), axis=1))
        return keras.layers.add(terms) if len(terms) > 1 else terms[0]


def _offsets(sizes: Sequence[int]) -> tuple[Any, int]:
    """Where each column begins in a table that holds all of them, and how many rows that table has."""
    import numpy as np

    return np.cumsum([0, *sizes[:-1]]).astype(np.int32), sum(sizes)
