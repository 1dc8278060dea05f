"""``block: cross``: products of features of bounded degree (Wang et al., DCN V2, WWW 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Part, blocks, flat, total


@blocks.register("cross")
class Cross(Block):
    """Layers that multiply what they are given with a linear map of the layer before.

    Attributes:
        layers: How many; one more than that is the highest degree of the products.
        rank: Write the map as a product of two narrow matrices of this width; left out, it is one square matrix.
    """

    block: Literal["cross"]
    layers: PositiveInt = 2
    rank: PositiveInt | None = None

    def width(self, parts: Sequence[Part]) -> Part:
        """That of everything it reads."""
        return total(parts)

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """x0 * (W x + b) + x, layer by layer."""
        import keras

        start = x = flat(values)
        for position in range(self.layers):
            narrow = x
            if self.rank:
                narrow = keras.layers.Dense(self.rank, use_bias=False, name=f"{name}_narrow{position}")(x)
            mapped = keras.layers.Dense(start.shape[-1], name=f"{name}_dense{position}")(narrow)
            x = start * mapped + x
        return x
