"""``block: mlp``: dense layers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import flat

Activation = Literal["relu", "gelu", "silu", "elu", "selu", "leaky_relu", "tanh", "sigmoid", "linear"]


class Mlp(Block):
    """Dense layers on everything it reads, side by side.

    Attributes:
        units: Width of each layer.
        activation: After each layer.
        last_activation: After the last one; ``activation`` when left out.
        dropout: Share of each layer's outputs that training omits at random.
        batch_norm: Whether to normalise over the batch before each activation.
        l2: Penalty on the squared weights.
    """

    block: Literal["mlp"]
    units: Annotated[list[PositiveInt], Field(min_length=1)]
    activation: Activation = "relu"
    last_activation: Activation | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_norm: bool = False
    l2: Annotated[float, Field(ge=0)] = 0.0

    def width(self, parts: Sequence[Width]) -> Width:
        """Return the width of the last layer."""
        return self.units[-1]

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Chain dense layer, normalisation, activation and dropout for each of ``units``."""
        import keras

        x = flat(values)
        penalty = keras.regularizers.L2(self.l2) if self.l2 else None
        for position, units in enumerate(self.units):
            x = keras.layers.Dense(units, kernel_regularizer=penalty, name=f"{name}_dense{position}")(x)
            if self.batch_norm:
                x = keras.layers.BatchNormalization(name=f"{name}_norm{position}")(x)
            is_last = position == len(self.units) - 1
            x = keras.layers.Activation((self.last_activation if is_last else None) or self.activation)(x)
            if self.dropout:
                x = keras.layers.Dropout(self.dropout)(x)
        return x
