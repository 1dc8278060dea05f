"""The packed matrices taken apart into what blocks and heads read: the only place that knows their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from proml_kedro.models.deep.blocks import Block, Categories, Items
from proml_kedro.models.deep.graph import Reference
from proml_kedro.models.deep.layout import CategoricalInput, Layout
from proml_kedro.models.deep.statistics import Statistics
from proml_kedro.models.deep.table_layer import table_layer


class InputTensors:
    """The tensors of the two input matrices, and those that a reference stands for.

    All features of one dimension share one embedding matrix with offsets: one lookup for a batch instead of one for
    each feature, which is several times faster on a CPU.

    Args:
        layout: The columns of the matrices.
        statistics: For the sizes of the tables.

    Attributes:
        numbers: ``keras.Input`` of shape (n, width).
        ids: ``keras.Input`` of shape (n, columns).
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
        """List what a reference stands for: tensors, :class:`Categories` and :class:`Items`.

        Categories and items are only for a block that reads them.

        Args:
            reference: What is read.
            tensors: Those of the blocks built so far, by reference.
            block: Who reads; None for a head.
        """
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

    def _one(self, position: int) -> CategoricalInput:
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
        """Look up embeddings; one tensor (n, features, dimension) for each dimension."""
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
        """Return the embedding matrix of a dimension, and the row at which each declared table begins."""
        import keras

        if dimension not in self._tables:
            starts, rows = self._layout.table_starts(dimension, self._sizes)
            start = keras.initializers.RandomNormal(stddev=0.05)
            layer = table_layer(rows, dimension, embeddings_initializer=start, name=f"embeddings{dimension}")
            self._tables[dimension] = layer, starts
        return self._tables[dimension]


def _pooled(items: Items, one: CategoricalInput) -> Any:
    """Pool the vectors of the items that are present, zeros where there is none; shape (n, dimension)."""
    from keras import ops

    present = ops.expand_dims(ops.cast(items.present, items.vectors.dtype), -1)
    if one.pooling == "max":
        some = ops.max(present, axis=1)
        return ops.max(items.vectors * present - (1 - present) * 1e4, axis=1) * some
    total = ops.sum(items.vectors * present, axis=1)
    return total / ops.maximum(ops.sum(present, axis=1), 1.0) if one.pooling == "mean" else total


def _take(matrix: Any, columns: Sequence[int], width: int) -> Any:
    """Select columns of a matrix; the matrix itself when they are all of them, in order."""
    from keras import ops

    if list(columns) == list(range(width)):
        return matrix
    return ops.take(matrix, np.array(columns, np.int32), axis=1)
