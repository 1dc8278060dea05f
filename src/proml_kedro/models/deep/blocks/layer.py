"""``layer: NAME``: any Keras layer, for what no block does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from proml_kedro.errors import unknown
from proml_kedro.models.deep.blocks.base import Block, Part, blocks, flat

# They run code or open files that a configuration names, or are no layers to be applied to a vector.
_REFUSED = {"Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper", "Layer", "Wrapper", "InputLayer"}


def _allowed(name: str) -> str:
    if name in _REFUSED:
        raise ValueError(f"'{name}' is not allowed: a configuration names layers, it does not run code")
    return name


@blocks.register("layer")
class Layer(Block):
    """A layer of Keras by its class name, applied to everything it reads, side by side.

    Attributes:
        layer: Its class in ``keras.layers``.
        config: Its arguments: plain values and lists of them.
        as_list: Give it the vectors as a list instead, as ``Multiply`` and other layers that merge want them.
    """

    block: Literal["layer"] = "layer"
    layer: Annotated[str, AfterValidator(_allowed)]
    config: dict[str, bool | int | float | str | list[int] | None] = {}
    as_list: bool = False

    def width(self, parts: Sequence[Part]) -> Part:
        """Only Keras knows."""
        return None

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """The layer applied.

        Raises:
            ValueError: Keras has no such layer; other exceptions are Keras's own about its arguments.
        """
        import keras

        known = [one for one in dir(keras.layers) if isinstance(getattr(keras.layers, one), type)]
        if self.layer not in known:
            raise ValueError(unknown("Keras layer", self.layer, known))
        layer = getattr(keras.layers, self.layer)(**{**self.config, "name": name})
        return layer([flat([value]) for value in values] if self.as_list else flat(values))
