"""``block: dot`` and ``block: cosine``: how alike two vectors are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Part, blocks, pair, stacked
from proml_kedro.models.deep.blocks.l2_normalize import to_unit_length


@blocks.register("dot")
class Dot(Block):
    """The dot product of two vectors."""

    block: Literal["dot"]

    def width(self, parts: Sequence[Part]) -> Part:
        """One.

        Raises:
            ValueError: They are not two of one width.
        """
        pair(parts, "dot")
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """The product, summed."""
        from keras import ops

        vectors = stacked(values)
        return ops.sum(vectors[:, 0] * vectors[:, 1], axis=-1, keepdims=True)


@blocks.register("cosine")
class Cosine(Block):
    """The cosine of the angle between two vectors, 0 where one of them is nothing but zeros.

    Attributes:
        scale: It is multiplied by this; a ``linear`` block that reads it learns a factor instead.
    """

    block: Literal["cosine"]
    scale: float = 1.0

    def width(self, parts: Sequence[Part]) -> Part:
        """One.

        Raises:
            ValueError: They are not two of one width.
        """
        pair(parts, "cosine")
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """The dot product of the two at unit length."""
        from keras import ops

        vectors = to_unit_length(stacked(values))
        return self.scale * ops.sum(vectors[:, 0] * vectors[:, 1], axis=-1, keepdims=True)
