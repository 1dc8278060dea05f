"""``block: mmoe``: experts that several tasks share (Ma et al., Multi-gate Mixture-of-Experts, KDD 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.mlp import Activation
from proml_kedro.models.deep.blocks.tensors import flat
from proml_kedro.spec.base import Name


class Mmoe(Block):
    """Several dense networks, whose outputs a gate of each task mixes; it gives ``block.task`` for each task.

    Attributes:
        tasks: Names of the vectors it gives.
        experts: Number of dense networks.
        units: Width of each of their layers.
        activation: After each layer.
    """

    block: Literal["mmoe"]
    tasks: Annotated[list[Name], Field(min_length=1)]
    experts: PositiveInt = 4
    units: Annotated[list[PositiveInt], Field(min_length=1)] = [64]
    activation: Activation = "relu"

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.tasks)

    def width(self, parts: Sequence[Width]) -> Width:
        """Return the width of an expert's last layer.

        Raises:
            ValueError: Two tasks have one name.
        """
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("mmoe has two tasks of one name")
        return self.units[-1]

    def build(self, name: str, values: Sequence[Any]) -> dict[str, Any]:
        """Weight the experts' outputs by each task's gate."""
        import keras
        from keras import ops

        start = flat(values)
        experts = ops.stack([self._expert(f"{name}_expert{number}", start) for number in range(self.experts)], axis=1)
        mixed = {}
        for task in self.tasks:
            gate = keras.layers.Dense(self.experts, activation="softmax", name=f"{name}_gate_{task}")(start)
            mixed[task] = ops.sum(experts * ops.expand_dims(gate, -1), axis=1)
        return mixed

    def _expert(self, name: str, x: Any) -> Any:
        import keras

        for position, units in enumerate(self.units):
            x = keras.layers.Dense(units, activation=self.activation, name=f"{name}_dense{position}")(x)
        return x
