"""``block: attention``: a sequence as one vector, its items weighted by how they fit (Zhou et al., DIN, KDD 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Items, Part, blocks, flat, items_width

_NEVER = -1e9  # a logit that leaves no weight


@blocks.register("attention")
class Attention(Block):
    """The items of a text or sequence, weighted and summed: scaled dot products with what else it reads.

    Of what it reads one is a text or a sequence; all the rest, side by side, asks for what fits. When there is no rest,
    one question is learned for all rows. A row without items gives zeros.

    Attributes:
        units: Width in which items and question are compared.
    """

    block: Literal["attention"]
    units: PositiveInt = 16

    @property
    def reads_items(self) -> bool:
        """Items, one by one."""
        return True

    def width(self, parts: Sequence[Part]) -> Part:
        """That of an item.

        Raises:
            ValueError: Not exactly one of the parts is a text or a sequence.
        """
        return int(items_width(parts, "attention"))

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Softmax of the products over the items that are there."""
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
