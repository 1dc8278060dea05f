"""From the declared graph to a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.deep.blocks import Block, flat
from proml_kedro.models.deep.graph import order, resolve, vectors_of
from proml_kedro.models.deep.input_tensors import InputTensors
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics


@dataclass(frozen=True)
class Network:
    """A network, built and not yet trained.

    Attributes:
        model: ``keras.Model`` from numbers (float32, (n, width)) and ids (int32, (n, columns)) to the margins
            (n, units) of each head, then each exposed vector (n, width); see :func:`run`.
        tensors: Keras tensor of each block's vector, by its reference.
    """

    model: Any
    tensors: Mapping[str, Any]


def build(
    spec: DeepSpec, layout: Layout, statistics: Statistics, starts: Mapping[str, Sequence[float]], key: str
) -> Network:
    """Build the network that a component declares.

    Args:
        spec: The component, without mistakes.
        layout: Columns of its inputs.
        statistics: For the sizes of its tables.
        starts: Where the biases of each head start.
        key: Of the component, for errors.

    Raises:
        UserError: Keras refuses a layer or its arguments.
    """
    import keras

    given = InputTensors(layout, statistics)
    tensors: dict[str, Any] = {}

    def values_of(references: Sequence[str], block: Block | None = None) -> list[Any]:
        found = (resolve(one, spec.graph, layout) for one in references)
        return [value for one in found for value in given.values(one, tensors, block)]

    def terms_of(references: Sequence[str]) -> tuple[list[Any], list[Any]]:
        """Read what a head adds up: vectors of blocks and embeddings, and numbers as they were given."""
        found = [resolve(one, spec.graph, layout) for one in references]
        raw = [value for one in found if one.numbers or one.vectors for value in given.values(one, tensors, None)]
        learned = [one for one in found if not (one.numbers or one.vectors)]
        return [value for one in learned for value in given.values(one, tensors, None)], raw

    for name in order(spec.graph):
        block = spec.graph[name]
        made = _guarded(f"{key}.graph.{name}", _call(block, name, values_of(block.of, block)))
        vectors = [made[one] for one in block.gives] if block.gives else [made]
        tensors.update(zip(vectors_of(name, block), vectors, strict=True))
    outputs = [
        _guarded(f"{key}.{spec.key_of(name)}", _margins(name, *terms_of(head.of), starts[name]))
        for name, head in spec.all_heads().items()
    ]
    exposed = [flat(values_of([reference])) for reference in spec.expose.values()]
    exposed = [keras.layers.Activation("linear", dtype="float32")(one) for one in exposed]
    return Network(keras.Model([given.numbers, given.ids], [*outputs, *exposed]), tensors)


def run(model: Any, numbers: Any, ids: Any, training: bool) -> list[Any]:
    """Compute the outputs of a model for a batch, as a list also where there is one, for which Keras gives a tensor.

    Args:
        model: That of a :class:`Network`.
        numbers: float32 of shape (n, width).
        ids: int32 of shape (n, columns).
        training: Whether dropout and batch statistics are as in training.
    """
    found = model([numbers, ids], training=training)
    return list(found) if isinstance(found, list | tuple) else [found]


def _call(block: Block, name: str, values: Sequence[Any]) -> Callable[[], Any]:
    return lambda: block.build(name, values)


def _guarded(key: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns.

    Raises:
        UserError: It raised an exception, or its result is not one vector for each row.
    """
    try:
        made = make()
    except Exception as error:  # Keras raises many kinds for a bad argument
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError.at(key, reason if len(reason) <= 300 else f"{reason[:299]}…") from error
    for one in made.values() if isinstance(made, dict) else [made]:
        if isinstance(one, list | tuple | dict) or len(one.shape) != 2 or one.shape[-1] is None:
            shape = getattr(one, "shape", type(one).__name__)
            raise UserError.at(key, f"must give one vector for each row, not {shape}; add a Flatten layer")
    return made


def _margins(name: str, values: Sequence[Any], raw: Sequence[Any], start: Sequence[float]) -> Callable[[], Any]:
    """Return a function that adds up the values and a bias.

    A value that is not one number for one margin goes through a dense layer first, and so does what is ``raw``: a
    number as it was given has no weight of its own.
    """
    import keras

    def make() -> Any:
        units = len(start)
        terms = [value for value in values if units == 1 and len(value.shape) == 2 and value.shape[-1] == 1]
        wide = [*(value for value in values if not any(value is one for one in terms)), *raw]
        if wide:
            layer = keras.layers.Dense(units, use_bias=False, dtype="float32", name=f"{name}_dense")
            terms.append(layer(flat(wide)))
        total = keras.layers.add(terms, dtype="float32") if len(terms) > 1 else terms[0]
        return _bias_layer(f"{name}_bias", start)(total)

    return make


def _bias_layer(name: str, start: Sequence[float]) -> Any:
    import keras

    class Bias(keras.layers.Layer):  # type: ignore[misc]
        """Adds numbers that are learned."""

        def build(self, shape: Any) -> None:
            self.bias = self.add_weight(shape=(len(start),), initializer="zeros", name="bias")

        def call(self, x: Any) -> Any:
            return x + self.bias

        def compute_output_shape(self, shape: Any) -> Any:
            return shape  # Keras cannot infer it behind operations that are no layers

    layer = Bias(name=name, dtype="float32")
    layer.build(None)
    layer.bias.assign(np.array(start, np.float32))
    return layer
