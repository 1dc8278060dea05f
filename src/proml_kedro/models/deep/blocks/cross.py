"""``block: cross``: products of features of bounded degree (Wang et al., DCN V2, WWW 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import flat
from proml_kedro.models.deep.blocks.widths import total


class Cross(Block):
    """Cross layers: each multiplies the block's input by a linear map of the layer before.

    Attributes:
        layers: Number of layers; the highest degree of the products is one more.
        rank: Factorise the map into two narrow matrices of this width; one square matrix when left out.
    """

    block: Literal["cross"]
    layers: PositiveInt = 2
    rank: PositiveInt | None = None

    def width(self, parts: Sequence[Width]) -> Width:
        """Compute the width of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Apply x0 * (W x + b) + x, layer by layer."""
        import keras

        start = x = flat(values)
        for position in range(self.layers):
            narrow = x
            if self.rank:
                narrow = keras.layers.Dense(self.rank, use_bias=False, name=f"{name}_narrow{position}")(x)
            mapped = keras.layers.Dense(start.shape[-1], name=f"{name}_dense{position}")(narrow)
            x = start * mapped + x
        return x
