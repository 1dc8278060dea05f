"""``block: concat`` and ``block: add``: several vectors made one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import flat, stacked
from proml_kedro.models.deep.blocks.widths import same_width, total


class Concat(Block):
    """Everything it reads, side by side."""

    block: Literal["concat"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Compute the width of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Put it side by side."""
        return flat(values)


class Add(Block):
    """The sum of vectors of one width."""

    block: Literal["add"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Compute the width of each vector.

        Raises:
            ValueError: They differ in width.
        """
        return same_width(parts, "add")

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Sum the vectors."""
        from keras import ops

        return ops.sum(stacked(values), axis=1)
