"""``block: attention``: a sequence as one vector, its items weighted by how they fit (Zhou et al., DIN, KDD 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Items, Width
from proml_kedro.models.deep.blocks.tensors import flat
from proml_kedro.models.deep.blocks.widths import items_width

_NEVER = -1e9  # a logit whose weight is 0


class Attention(Block):
    """The items of a text or sequence, weighted by how well they fit a question, and summed.

    One of its references is a text or a sequence. All others, side by side, are the question; without others, one
    question is learned for all rows. Weights are the softmax of scaled dot products. A row without items gives zeros.

    Attributes:
        units: Width to which items and question are projected before they are compared.
    """

    block: Literal["attention"]
    units: PositiveInt = 16

    @property
    def reads_items(self) -> bool:
        """True: it weights items one by one."""
        return True

    def width(self, parts: Sequence[Width]) -> Width:
        """Return the width of an item.

        Raises:
            ValueError: Not exactly one of the parts is a text or a sequence.
        """
        return int(items_width(parts, "attention"))

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Weight the items that are present by the softmax of their products with the question."""
        import keras
        from keras import ops

        (items,) = (value for value in values if isinstance(value, Items))
        rest = [value for value in values if not isinstance(value, Items)]
        keys = keras.layers.Dense(self.units, name=f"{name}_keys")(items.vectors)
        if rest:
            question = keras.layers.Dense(self.units, name=f"{name}_question")(flat(rest))
            logits = ops.sum(keys * ops.expand_dims(question, 1), axis=-1) * self.units**-0.5
        else:
            logits = ops.squeeze(keras.layers.Dense(1, use_bias=False, name=f"{name}_question")(ops.tanh(keys)), -1)
        present = ops.cast(items.present, logits.dtype)
        weights = ops.softmax(logits + (1 - present) * _NEVER, axis=-1) * present
        return ops.sum(items.vectors * ops.expand_dims(weights, -1), axis=1)
