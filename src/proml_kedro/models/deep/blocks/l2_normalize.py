"""``block: l2_normalize``: a vector at unit length, as two-tower models compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Part, blocks, flat, total

_SHORTEST = 1e-6  # a vector shorter than this stays short, rather than being divided by almost nothing


@blocks.register("l2_normalize")
class L2Normalize(Block):
    """Everything it reads, side by side, divided by its length."""

    block: Literal["l2_normalize"]

    def width(self, parts: Sequence[Part]) -> Part:
        """That of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Divided by its length."""
        return to_unit_length(flat(values))


def to_unit_length(vectors: Any) -> Any:
    """Vectors along the last axis divided by their lengths."""
    from keras import ops

    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, _SHORTEST**2))
