"""``block: l2_normalize``: a vector at unit length, as two-tower models compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import flat, to_unit_length
from proml_kedro.models.deep.blocks.widths import total


class L2Normalize(Block):
    """Everything it reads, side by side, divided by its length."""

    block: Literal["l2_normalize"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Compute the width of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Divide what it reads by its length."""
        return to_unit_length(flat(values))
