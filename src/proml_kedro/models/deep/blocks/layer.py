"""``layer: NAME``: any Keras layer, for what no block does."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from proml_kedro.errors import unknown
from proml_kedro.extensions import layers
from proml_kedro.models.deep.blocks.base import Block, Width
from proml_kedro.models.deep.blocks.tensors import flat
from proml_kedro.models.deep.blocks.widths import items_width

# They run code or open files that a configuration names, or are no layers to be applied to a vector.
_REFUSED = {"Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper", "Layer", "Wrapper", "InputLayer"}


def _allowed(name: str) -> str:
    if name in _REFUSED:
        raise ValueError(f"'{name}' is not allowed: a configuration names layers, it does not run code")
    return name


class Layer(Block):
    """A Keras layer, named by its class and applied to everything it reads, side by side.

    Attributes:
        layer: Its class in ``keras.layers``.
        config: Its arguments: plain values and lists of them.
        as_list: Give the layer a list of vectors instead, as ``Multiply`` and other merging layers need.
        as_sequence: Give the layer the items of one text or sequence, (n, length, dimension), as ``GRU`` needs.
    """

    block: Literal["layer"] = "layer"
    layer: Annotated[str, AfterValidator(_allowed)]
    config: dict[str, bool | int | float | str | list[int] | None] = {}
    as_list: bool = False
    as_sequence: bool = False

    @property
    def reads_items(self) -> bool:
        """True with :attr:`as_sequence`."""
        return self.as_sequence

    def width(self, parts: Sequence[Width]) -> Width:
        """Return None: only Keras knows.

        Raises:
            ValueError: ``as_sequence`` is set, and there is not exactly one text or sequence.
        """
        if self.as_sequence:
            items_width(parts, "as_sequence")
            if len(parts) > 1:
                raise ValueError("as_sequence reads one text or sequence, and nothing else")
        return None

    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Apply the layer.

        Raises:
            ValueError: There is no such layer. Keras raises other exceptions for bad arguments.
        """
        layer = self._find()(**{**self.config, "name": name})
        if self.as_sequence:
            (items,) = values
            takes_mask = "mask" in inspect.signature(layer.call).parameters
            return layer(items.vectors, **({"mask": _never_empty(items.present)} if takes_mask else {}))
        return layer([flat([value]) for value in values] if self.as_list else flat(values))

    def _find(self) -> Any:
        """Return the user's layer of this name, or Keras's class."""
        import keras

        if self.layer in layers.names():
            return layers.get(self.layer)
        known = [one for one in dir(keras.layers) if isinstance(getattr(keras.layers, one), type)]
        known = [one for one in known if one not in _REFUSED]
        if self.layer not in known:
            raise ValueError(unknown("Keras layer", self.layer, [*known, *layers.names()]))
        return getattr(keras.layers, self.layer)


def _never_empty(present: Any) -> Any:
    """Mark the first item as present in every row, since layers divide by the number of items."""
    from keras import ops

    return ops.concatenate([ops.ones_like(present[:, :1]), present[:, 1:]], axis=1)
