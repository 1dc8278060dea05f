"""From the declared graph to a Keras model: the only place that knows how the packed matrices are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.deep.blocks import Block, Categories
from proml_kedro.models.deep.check import order
from proml_kedro.models.deep.layout import Layout, Reference, resolve
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics


def build(spec: DeepSpec, layout: Layout, statistics: Statistics, prior: float, key: str) -> Any:
    """The network, as declared.

    Args:
        spec: The component; :func:`proml_kedro.models.deep.check.check` finds no mistake in it.
        layout: Columns of its inputs.
        statistics: For the sizes of its tables.
        prior: Log-odds to begin with, where the bias of the head starts.
        key: Of the component, for errors.

    Returns:
        A ``keras.Model`` from numbers (float32, (n, width)) and ids (int32, (n, fields)) to the margin (n, 1).

    Raises:
        UserError: Keras refuses a layer or its arguments.
    """
    import keras

    given = _Inputs(layout, statistics)
    tensors: dict[str, Any] = {}

    def values_of(references: Sequence[str], reads_categories: bool) -> list[Any]:
        found = (resolve(one, spec, layout) for one in references)
        return [value for one in found for value in given.values(one, tensors, reads_categories)]

    for name in order(spec):
        block = spec.graph[name]
        tensors[name] = _guarded(f"{key}.graph.{name}", _call(block, name, values_of(block.of, block.reads_categories)))
    margin = _guarded(f"{key}.head", lambda: _head(values_of(spec.head.of, False), prior))
    return keras.Model([given.numbers, given.ids], margin)


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
    if isinstance(made, list | tuple | dict) or len(made.shape) != 2 or made.shape[-1] is None:
        shape = getattr(made, "shape", type(made).__name__)
        raise UserError.at(key, f"must give one vector for each row, not {shape}; add a Flatten layer")
    return made


def _head(values: Sequence[Any], prior: float) -> Any:
    """Sum of the values, through a dense layer where they are wider than 1, and a bias."""
    import keras

    from proml_kedro.models.deep.blocks.base import flat

    wide = [value for value in values if len(value.shape) > 2 or value.shape[-1] != 1]
    terms = [value for value in values if len(value.shape) == 2 and value.shape[-1] == 1]
    if wide:
        terms.append(keras.layers.Dense(1, use_bias=False, name="head_dense")(flat(wide)))
    total = keras.layers.add(terms) if len(terms) > 1 else terms[0]
    return _bias_layer(prior)(total)


def _bias_layer(prior: float) -> Any:
    import keras

    class Bias(keras.layers.Layer):  # type: ignore[misc]
        """Adds one number that is learned."""

        def build(self, shape: Any) -> None:
            start = keras.initializers.Constant(prior)
            self.bias = self.add_weight(shape=(1,), initializer=start, name="bias")

        def call(self, x: Any) -> Any:
            return x + self.bias

        def compute_output_shape(self, shape: Any) -> Any:
            return shape  # Keras cannot infer it behind operations that are no layers

    return Bias(name="head_bias")


class _Inputs:
    """The two input matrices, and what of them a reference stands for.

    All fields of one dimension share one embedding matrix with offsets: one lookup for a batch instead of one for each
    field, which is several times faster on a CPU.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        import keras

        self._layout = layout
        self._sizes = [statistics.size_of(one) for one in layout.categoricals]
        self.numbers = keras.Input((layout.width_of(len(layout.numbers)),), dtype="float32", name="numbers")
        self.ids = keras.Input((len(layout.categoricals),), dtype="int32", name="ids")
        self._tables: dict[int, tuple[Any, dict[str, int]]] = {}
        self._looked_up: dict[tuple[int, ...], Any] = {}

    def values(self, reference: Reference, tensors: dict[str, Any], reads_categories: bool) -> list[Any]:
        """Tensors, and :class:`Categories` where ids can be read."""
        if reference.block is not None:
            return [tensors[reference.block]]
        found = [self._select_numbers(reference.numbers)] if reference.numbers else []
        if reference.categoricals and reads_categories and reference.as_ids:
            sizes = tuple(self._sizes[one] for one in reference.categoricals)
            found.append(Categories(_take(self.ids, reference.categoricals, len(self._sizes)), sizes))
        elif reference.categoricals:
            found += self._embeddings(reference.categoricals)
        return found

    def _select_numbers(self, positions: tuple[int, ...]) -> Any:
        count = len(self._layout.numbers)
        columns = [*positions, *(count + one for one in positions)] if self._layout.indicators else positions
        return _take(self.numbers, columns, self._layout.width_of(count))

    def _embeddings(self, positions: tuple[int, ...]) -> list[Any]:
        """One tensor (n, fields, dimension) for each dimension."""
        by_dimension: dict[int, list[int]] = {}
        for one in positions:
            by_dimension.setdefault(self._layout.categoricals[one].dimension, []).append(one)
        return [self._look_up(dimension, tuple(fields)) for dimension, fields in by_dimension.items()]

    def _look_up(self, dimension: int, fields: tuple[int, ...]) -> Any:
        if fields not in self._looked_up:
            table, starts = self._table(dimension)
            offsets = np.array([starts[self._layout.categoricals[one].table] for one in fields], np.int32)
            self._looked_up[fields] = table(_take(self.ids, fields, len(self._sizes)) + offsets)
        return self._looked_up[fields]

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


def _take(matrix: Any, columns: Sequence[int], width: int) -> Any:
    """Some columns of a matrix; itself when they are all of them, in order."""
    from keras import ops

    if list(columns) == list(range(width)):
        return matrix
    return ops.take(matrix, np.array(columns, np.int32), axis=1)
