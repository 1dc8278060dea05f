"""From the declared graph to a Keras model: the only place that knows how the packed matrices are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.deep.blocks import Block, Categories, Items
from proml_kedro.models.deep.blocks.base import flat
from proml_kedro.models.deep.check import order
from proml_kedro.models.deep.layout import Categorical, Layout, Reference, resolve
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics


@dataclass(frozen=True)
class Network:
    """A network that was built.

    Attributes:
        model: ``keras.Model`` from numbers (float32, (n, width)) and ids (int32, (n, columns)) to the margins
            (n, units) of each head, then each exposed vector (n, width); see :func:`run`.
        tensors: The Keras tensor of each block's vector, by what it is referred to.
    """

    model: Any
    tensors: Mapping[str, Any]


def build(
    spec: DeepSpec, layout: Layout, statistics: Statistics, starts: Mapping[str, Sequence[float]], key: str
) -> Network:
    """The network, as declared.

    Args:
        spec: The component; :func:`proml_kedro.models.deep.check.check` finds no mistake in it.
        layout: Columns of its inputs.
        statistics: For the sizes of its tables.
        starts: Where the biases of each head start.
        key: Of the component, for errors.

    Raises:
        UserError: Keras refuses a layer or its arguments.
    """
    import keras

    given = _Inputs(layout, statistics)
    tensors: dict[str, Any] = {}

    def values_of(references: Sequence[str], block: Block | None = None) -> list[Any]:
        found = (resolve(one, spec, layout) for one in references)
        return [value for one in found for value in given.values(one, tensors, block)]

    for name in order(spec):
        block = spec.graph[name]
        made = _guarded(f"{key}.graph.{name}", _call(block, name, values_of(block.of, block)))
        tensors.update({f"{name}.{one}": made[one] for one in block.gives} if block.gives else {name: made})
    outputs = []
    for name, head in spec.all_heads().items():
        here = f"{key}.head" if spec.head else f"{key}.heads.{name}"
        outputs.append(_guarded(here, _margins(name, values_of(head.of), starts[name])))
    exposed = [flat(values_of([reference])) for reference in spec.expose.values()]
    exposed = [keras.layers.Activation("linear", dtype="float32")(one) for one in exposed]
    return Network(keras.Model([given.numbers, given.ids], [*outputs, *exposed]), tensors)


def run(model: Any, numbers: Any, ids: Any, training: bool) -> list[Any]:
    """What a model gives for a batch: always a list, where Keras makes a tensor of a list of one."""
    found = model([numbers, ids], training=training)
    return list(found) if isinstance(found, list | tuple) else [found]


def _call(block: Block, name: str, values: Sequence[Any]) -> Callable[[], Any]:
    return lambda: block.build(name, values)


def _guarded(key: str, make: Callable[[], Any]) -> Any:
    """What ``make`` returns.

    Raises:
        UserError: It raised anything, or its result is not a vector for each row.
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


def _margins(name: str, values: Sequence[Any], start: Sequence[float]) -> Callable[[], Any]:
    """Sum of the values and a bias; what is not one number for one margin goes through a dense layer."""
    import keras

    def make() -> Any:
        units = len(start)
        terms = [value for value in values if units == 1 and len(value.shape) == 2 and value.shape[-1] == 1]
        wide = [value for value in values if not any(value is one for one in terms)]
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


class _Inputs:
    """The two input matrices, and what of them a reference stands for.

    All features of one dimension share one embedding matrix with offsets: one lookup for a batch instead of one for
    each feature, which is several times faster on a CPU.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        import keras

        self._layout = layout
        self._sizes = [statistics.size_of(one) for one in layout.categoricals]
        self.numbers = keras.Input((layout.width,), dtype="float32", name="numbers")
        self.ids = keras.Input((layout.id_count,), dtype="int32", name="ids")
        self._tables: dict[int, tuple[Any, dict[str, int]]] = {}
        self._looked_up: dict[tuple[int, ...], Any] = {}

    def values(self, reference: Reference, tensors: dict[str, Any], block: Block | None) -> list[Any]:
        """Tensors, and :class:`Categories` or :class:`Items` where the block reads them."""
        if reference.block is not None:
            return [tensors[reference.block]]
        found = [self._select_numbers(reference.numbers)] if reference.numbers else []
        found += [self._take_numbers(self._layout.columns_of_vector(one)) for one in reference.vectors]
        if reference.categoricals and block is not None and block.reads_categories and reference.as_ids:
            found.append(self._categories(reference.categoricals))
            return found
        single = tuple(one for one in reference.categoricals if not self._one(one).pooling)
        found += self._embeddings(single)
        for one in reference.categoricals:
            if self._one(one).pooling:
                items = self._items(one)
                found.append(items if block is not None and block.reads_items else _pooled(items, self._one(one)))
        return found

    def _one(self, position: int) -> Categorical:
        return self._layout.categoricals[position]

    def _take_numbers(self, columns: Sequence[int]) -> Any:
        return _take(self.numbers, columns, self._layout.width)

    def _select_numbers(self, positions: tuple[int, ...]) -> Any:
        return self._take_numbers(self._layout.columns_of_numbers(positions))

    def _take_ids(self, positions: Sequence[int]) -> Any:
        columns = [column for one in positions for column in self._layout.columns_of_ids(one)]
        return _take(self.ids, columns, self._layout.id_count)

    def _categories(self, positions: tuple[int, ...]) -> Categories:
        sizes = tuple(self._sizes[one] for one in positions)
        return Categories(self._take_ids(positions), sizes, tuple(self._one(one).length for one in positions))

    def _embeddings(self, positions: tuple[int, ...]) -> list[Any]:
        """One tensor (n, features, dimension) for each dimension."""
        by_dimension: dict[int, list[int]] = {}
        for one in positions:
            by_dimension.setdefault(self._one(one).dimension, []).append(one)
        return [self._look_up(dimension, tuple(features)) for dimension, features in by_dimension.items()]

    def _items(self, position: int) -> Items:
        from keras import ops

        vectors = self._look_up(self._one(position).dimension, (position,))
        return Items(vectors, ops.not_equal(self._take_ids([position]), 0))

    def _look_up(self, dimension: int, positions: tuple[int, ...]) -> Any:
        if positions not in self._looked_up:
            table, starts = self._table(dimension)
            offsets = [starts[self._one(one).table] for one in positions for _ in range(self._one(one).length)]
            self._looked_up[positions] = table(self._take_ids(positions) + np.array(offsets, np.int32))
        return self._looked_up[positions]

    def _table(self, dimension: int) -> tuple[Any, dict[str, int]]:
        """The embedding matrix of a dimension, and the row at which each declared table begins."""
        import keras

        if dimension not in self._tables:
            starts: dict[str, int] = {}
            rows = 0
            for one, size in zip(self._layout.categoricals, self._sizes, strict=True):
                if one.dimension == dimension and one.table not in starts:
                    starts[one.table] = rows
                    rows += size
            start = keras.initializers.RandomNormal(stddev=0.05)
            layer = keras.layers.Embedding(rows, dimension, embeddings_initializer=start, name=f"embeddings{dimension}")
            self._tables[dimension] = layer, starts
        return self._tables[dimension]


def _pooled(items: Items, one: Categorical) -> Any:
    """The vectors of what is there as one, zeros where nothing is; shape (n, dimension)."""
    from keras import ops

    present = ops.expand_dims(ops.cast(items.present, items.vectors.dtype), -1)
    if one.pooling == "max":
        some = ops.max(present, axis=1)
        return ops.max(items.vectors * present - (1 - present) * 1e4, axis=1) * some
    total = ops.sum(items.vectors * present, axis=1)
    return total / ops.maximum(ops.sum(present, axis=1), 1.0) if one.pooling == "mean" else total


def _take(matrix: Any, columns: Sequence[int], width: int) -> Any:
    """Some columns of a matrix; itself when they are all of them, in order."""
    from keras import ops

    if list(columns) == list(range(width)):
        return matrix
    return ops.take(matrix, np.array(columns, np.int32), axis=1)
