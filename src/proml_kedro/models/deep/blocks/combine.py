"""``block: concat`` and ``block: add``: several vectors made one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Part, blocks, flat, same_width, stacked, total


@blocks.register("concat")
class Concat(Block):
    """Everything it reads, side by side."""

    block: Literal["concat"]

    def width(self, parts: Sequence[Part]) -> Part:
        """That of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Side by side."""
        return flat(values)


@blocks.register("add")
class Add(Block):
    """The sum of vectors of one width."""

    block: Literal["add"]

    def width(self, parts: Sequence[Part]) -> Part:
        """That of each vector.

        Raises:
            ValueError: They differ in width.
        """
        return same_width(parts, "add")

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """The sum."""
        from keras import ops

        return ops.sum(stacked(values), axis=1)
