"""``block: dot`` and ``block: cosine``: how alike two vectors are.

They are part of a network, so that it learns through them; of columns, :mod:`proml_kedro.column_functions` computes
the same with NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import dot_product, stacked, to_unit_length
from proml_kedro.models.deep.blocks.widths import two_of_one_width


class Dot(Block):
    """The dot product of two vectors."""

    block: Literal["dot"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Return 1.

        Raises:
            ValueError: They are not two of one width.
        """
        two_of_one_width(parts, "dot")
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Multiply and sum."""
        vectors = stacked(values)
        return dot_product(vectors[:, 0], vectors[:, 1])


class Cosine(Block):
    """The cosine of the angle between two vectors, 0 where one of them is nothing but zeros.

    Attributes:
        scale: It is multiplied by this; a ``linear`` block that reads it learns a factor instead.
    """

    block: Literal["cosine"]
    scale: float = 1.0

    def width(self, parts: Sequence[Width]) -> Width:
        """Return 1.

        Raises:
            ValueError: They are not two of one width.
        """
        two_of_one_width(parts, "cosine")
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Multiply the two at unit length and sum."""
        vectors = to_unit_length(stacked(values))
        return self.scale * dot_product(vectors[:, 0], vectors[:, 1])
