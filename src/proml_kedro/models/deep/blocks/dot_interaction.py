"""``block: dot_interaction``: dot products of pairs (Naumov et al., DLRM, arXiv:1906.00091, 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import stacked
from proml_kedro.models.deep.blocks.widths import several_of_one_width


class DotInteraction(Block):
    """The dot product of every pair of vectors, side by side."""

    block: Literal["dot_interaction"]

    def width(self, parts: Sequence[Width]) -> Width:
        """Count the pairs.

        Raises:
            ValueError: There are fewer than two vectors, or they differ in width.
        """
        several_of_one_width(parts, "dot_interaction")
        return len(parts) * (len(parts) - 1) // 2

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Take the part of the Gram matrix below its diagonal."""
        import numpy as np
        from keras import ops

        vectors = stacked(values)
        count = vectors.shape[1]
        gram = ops.matmul(vectors, ops.transpose(vectors, (0, 2, 1)))
        row, column = np.tril_indices(count, k=-1)
        return ops.take(ops.reshape(gram, (-1, count * count)), (row * count + column).astype(np.int32), axis=1)
