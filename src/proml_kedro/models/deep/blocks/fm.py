"""``block: fm``: second-order factorisation machine (Rendle, ICDM 2010; Guo et al., DeepFM, IJCAI 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import stacked
from proml_kedro.models.deep.blocks.widths import several_of_one_width


class Fm(Block):
    """The sum of the dot products of all pairs of vectors."""

    block: Literal["fm"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Return 1: its output is part of the margin.

        Raises:
            ValueError: There are fewer than two vectors, or they differ in width.
        """
        several_of_one_width(parts, "fm")
        return 1

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Halve (square of the sum - sum of the squares): linear in the number of vectors, not quadratic."""
        from keras import ops

        vectors = stacked(values)
        pairs = ops.square(ops.sum(vectors, axis=1)) - ops.sum(ops.square(vectors), axis=1)
        return 0.5 * ops.sum(pairs, axis=-1, keepdims=True)
