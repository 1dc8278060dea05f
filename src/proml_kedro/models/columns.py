"""Columns: from Parquet files to what components read, and from there to matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns, Input


def read_columns(path: Path, inputs: Sequence[Input], rows: Any = None, precision: str = "float32") -> Columns:
    """Read columns of a Parquet file.

    Args:
        path: The file; its columns carry the inputs' names.
        inputs: What to read.
        rows: A ``pyarrow.dataset.Expression`` that holds for the rows to read, such as :func:`in_split`; None for all.
        precision: Floating point type of numeric columns.

    Returns:
        Numeric columns as floating point with NaN for null, categorical ones as objects with None for null, vectors of
        shape (n, size) with rows of NaN for null.

    Raises:
        ValueError: A vector in the file is not of its declared size.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=[one.name for one in inputs], filters=rows)
    return {one.name: _as_array(table.column(one.name), one, precision) for one in inputs}


def read_codes(path: Path, name: str, rows: Any = None) -> npt.NDArray[np.int64]:
    """The values of a column of a Parquet file, numbered from 0 without gaps; a missing one is one of its own.

    Args:
        path: The file.
        name: Of the column, of any type.
        rows: As in :func:`read_columns`.
    """
    import pyarrow.parquet as pq

    codes = pq.read_table(path, columns=[name], filters=rows)[name].combine_chunks().dictionary_encode().indices
    missing = np.asarray(codes.is_null())
    numbers = np.array(codes.fill_null(0), np.int64)
    numbers[missing] = len(numbers) + np.arange(missing.sum())
    return np.unique(numbers, return_inverse=True)[1] if missing.any() else numbers


def in_split(split: str) -> Any:
    """The rows of a training set that belong to ``train``, ``validation`` or ``test``."""
    import pyarrow.compute as pc

    return pc.field("split") == split


@dataclass(frozen=True)
class ParquetRows:
    """Rows of a Parquet file that are read when they are needed.

    Attributes:
        path: The file.
        split: The split of a training set that the rows belong to.
        precision: Floating point type of numeric columns.
    """

    path: Path
    split: str
    precision: str = "float32"

    def __len__(self) -> int:
        return _count_rows(self.path, self.split)

    def read(self, inputs: Sequence[Input]) -> Columns:
        """All rows, as :func:`read_columns` gives them."""
        return read_columns(self.path, inputs, in_split(self.split), self.precision)

    def batches(self, inputs: Sequence[Input], rows: int) -> Iterator[Columns]:
        """The inputs in the order of the file, at most ``rows`` rows at a time."""
        import pyarrow.dataset as ds

        names = [one.name for one in inputs]
        scanner = ds.dataset(self.path).scanner(
            columns=names, filter=in_split(self.split), batch_size=rows, use_threads=False, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            if batch.num_rows:
                yield {one.name: _as_array(batch.column(one.name), one, self.precision) for one in inputs}


@cache
def _count_rows(path: Path, split: str) -> int:
    import pyarrow.dataset as ds

    return int(ds.dataset(path).count_rows(filter=in_split(split)))


def _as_array(column: Any, one: Input, precision: str) -> Array:
    import pyarrow as pa

    if one.is_categorical:
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            column = column.cast(pa.string())  # the key of an entity may be a number
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    if one.size is not None:
        return as_vectors(column, one.size, precision)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return as_numbers(column.to_numpy(zero_copy_only=False), precision)


def as_numbers(values: Array, precision: str) -> Array:
    """Numbers as models are given them: floating point, NaN for what is missing, infinite, or too large for that."""
    with np.errstate(over="ignore"):
        numbers = np.array(values, dtype=precision)
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def as_vectors(column: Any, size: int, precision: str) -> Array:
    """A list column of Arrow as an array of shape (n, size); a null, or a list with a null in it, is a row of NaN.

    Raises:
        ValueError: A list is not of this size.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.list_value_length(lists)
    if pc.any(pc.not_equal(lengths, size)).as_py():
        raise ValueError(f"a vector has {pc.max(pc.filter(lengths, pc.not_equal(lengths, size))).as_py()} numbers")
    vectors = np.full((len(lists), size), np.nan, precision)
    present = lists.is_valid().to_numpy(zero_copy_only=False)
    vectors[present] = as_numbers(pc.list_flatten(lists).to_numpy(zero_copy_only=False), precision).reshape(-1, size)
    vectors[np.isnan(vectors).any(axis=1)] = np.nan
    return vectors


def row_count(columns: Columns) -> int:
    """How many rows the columns have.

    Raises:
        ValueError: They differ in length.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns differ in length: {sorted(lengths)}")
    return lengths.pop() if lengths else 0


class Vocabulary:
    """The known categories of one input, numbered from 0 in sorted order."""

    def __init__(self, categories: Iterable[str]) -> None:
        self.categories = tuple(categories)
        self._codes = {category: code for code, category in enumerate(self.categories)}

    @classmethod
    def of(cls, values: Array) -> Vocabulary:
        """The vocabulary of the values that occur."""
        return cls(sorted({value for value in values if value is not None}))

    def __len__(self) -> int:
        return len(self.categories)

    def encode(self, values: Array) -> npt.NDArray[np.float32]:
        """Numbers of the categories, NaN for missing and for unknown ones; shape (n,)."""
        missing = float("nan")
        codes = (self._codes.get(value, missing) for value in values)
        return np.fromiter(codes, np.float32, len(values))


def learn_vocabularies(columns: Columns, inputs: Sequence[Input]) -> dict[str, Vocabulary]:
    """The vocabulary of each categorical input."""
    return {one.name: Vocabulary.of(columns[one.name]) for one in inputs if one.is_categorical}


def to_matrix(
    columns: Columns, inputs: Sequence[Input], vocabularies: Mapping[str, Vocabulary]
) -> npt.NDArray[np.float32]:
    """The inputs side by side, categories by their numbers; float32 of shape (n, inputs)."""
    matrix = np.empty((row_count(columns), len(inputs)), np.float32)
    for position, one in enumerate(inputs):
        values = columns[one.name]
        matrix[:, position] = vocabularies[one.name].encode(values) if one.is_categorical else values
    return matrix


def sigmoid(margin: Array) -> npt.NDArray[np.float64]:
    """Log-odds to probability, in float64."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin.astype(np.float64))))  # no overflow, unlike exp
