"""Columns: from Parquet files to what components read, and from there to matrices."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from proml_kedro.arrow_arrays import as_floats, as_numbers, as_texts, as_vectors
from proml_kedro.formulas import sigmoid, softmax
from proml_kedro.models.component import Array, Columns, Examples, Input, RowSource
from proml_kedro.spec.problem import Task
from proml_kedro.spec.split import SplitName
from proml_kedro.spec.training_set import SPLIT

__all__ = [
    "Vocabulary",
    "as_numbers",
    "as_vectors",
    "batches_of",
    "in_split",
    "learn_vocabularies",
    "read_all",
    "read_columns",
    "row_count",
    "sigmoid",
    "softmax",
    "to_arrow",
    "to_matrix",
]


_LARGEST_LOGARITHM = 50.0  # of a mean: whatever a row holds, a score is a finite number


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
    return {one.name: as_array(table.column(one.name), one, precision) for one in inputs}


def read_codes(path: Path, name: str, rows: Any = None) -> npt.NDArray[np.int64]:
    """Number the values of a column of a Parquet file, from 0 without gaps; each missing value has a number of its own.

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


def in_split(split: SplitName) -> Any:
    """Filter for the rows of a training set that belong to ``train``, ``validation`` or ``test``."""
    import pyarrow.compute as pc

    return pc.field(SPLIT) == split


_CELLS = 1 << 22  # of a batch of rows that are put together, so that few columns and many need the same memory


@dataclass(frozen=True)
class ParquetRows:
    """Rows of a Parquet file that are read when they are needed.

    Attributes:
        path: The file.
        split: The split of a training set that the rows belong to.
        precision: Floating point type of numeric columns.
    """

    path: Path
    split: SplitName
    precision: str = "float32"

    def __len__(self) -> int:
        return _count_rows(self.path, self.split)

    def read(self, inputs: Sequence[Input]) -> Columns:
        """Read all rows, as :func:`read_columns` does."""
        if not len(self):
            return read_columns(self.path, inputs, in_split(self.split), self.precision)
        return read_all(self, inputs)

    def batches(self, inputs: Sequence[Input], rows: int) -> Iterator[Columns]:
        """Read the inputs in the order of the file, at most ``rows`` rows at a time."""
        for batch in self.record_batches([one.name for one in inputs], rows):
            yield {one.name: as_array(batch.column(one.name), one, self.precision) for one in inputs}

    def record_batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Read columns as ``pyarrow.RecordBatch``, in the order of the file, at most ``rows`` rows at a time.

        One batch is in memory, and what is stored of its row group. A row group without a row of the split is not read,
        and one of the split alone is not filtered; its statistics tell.
        """
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                share = _share_of_split(file.metadata.row_group(group), self.split)
                if share == "none":
                    continue
                read = list(names) if share == "all" else list(dict.fromkeys([*names, SPLIT]))
                for batch in file.iter_batches(rows, [group], read, use_threads=False):
                    if share == "some":
                        batch = batch.filter(pc.equal(batch.column(SPLIT), self.split)).select(list(names))
                    if batch.num_rows:
                        yield batch


def read_all(source: RowSource, inputs: Sequence[Input]) -> Columns:
    """Read the inputs of all rows, of which there is at least one; nothing is held twice meanwhile.

    Raises:
        ValueError: There are fewer rows than the source has said, or more.
    """
    columns: dict[str, Array] = {}
    first = 0
    for part in source.batches(inputs, max(1, _CELLS // max(1, len(inputs)))):
        for name, values in part.items():
            if name not in columns:
                columns[name] = np.empty((len(source), *values.shape[1:]), values.dtype)
            columns[name][first : first + len(values)] = values
        first += row_count(part)
    if first != len(source):
        raise ValueError(f"{first:,} rows were read where there should be {len(source):,}")
    return columns


def batches_of(examples: Sequence[Examples], inputs: Sequence[Input], rows: int = 1 << 16) -> Iterator[Columns]:
    """Read the inputs, some rows at a time; from where they are stored if possible, so that they need no memory.

    Args:
        examples: One set after the other.
        inputs: What to read of them.
        rows: The most rows of a batch.
    """
    for one in examples:
        if one.source is not None:
            yield from one.source.batches(inputs, rows)
        else:
            columns = {each.name: one.columns[each.name] for each in inputs}
            for start in range(0, len(one), rows):
                yield {name: values[start : start + rows] for name, values in columns.items()}


def _share_of_split(group: Any, split: SplitName) -> Literal["all", "some", "none"]:
    """Tell by its statistics whether all, some or no rows of a row group belong to a split."""
    columns = (group.column(position) for position in range(group.num_columns))
    statistics = next(one.statistics for one in columns if one.path_in_schema == SPLIT)
    if statistics is None or not statistics.has_min_max:
        return "some"
    if not statistics.min <= split <= statistics.max:
        return "none"
    return "all" if statistics.min == statistics.max and statistics.null_count == 0 else "some"


@cache
def _count_rows(path: Path, split: SplitName) -> int:
    import pyarrow.dataset as ds

    return int(ds.dataset(path).count_rows(filter=in_split(split)))


def as_array(column: Any, one: Input, precision: str) -> Array:
    """Convert a column of Arrow to what a component reads.

    Args:
        column: ``pyarrow.Array`` or ``pyarrow.ChunkedArray`` of n rows.
        one: Says whether values are numbers, categories or vectors.
        precision: Floating point type of numbers and vectors.

    Returns:
        Floating point of shape (n,) with NaN for null; objects of shape (n,) with None for null; or floating point of
        shape (n, size) with rows of NaN for null.

    Raises:
        ValueError: A vector is not of its declared size.
    """
    if one.is_categorical:
        return as_texts(column)
    return as_floats(column, precision) if one.size is None else as_vectors(column, one.size, precision)


def to_arrow(values: Array) -> Any:
    """Convert what a component reads or gives to a ``pyarrow.Array``; the inverse of :func:`as_array`.

    Args:
        values: Floating point of shape (n,) or (n, size), NaN for missing; or objects of shape (n,), None for missing.
    """
    import pyarrow as pa

    if values.dtype == object:
        return pa.array(values, pa.string())
    if values.ndim == 1:
        return pa.array(values, from_pandas=True)
    missing = np.isnan(values).any(axis=1)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(missing))


def row_count(columns: Columns) -> int:
    """Count the rows of columns.

    Raises:
        ValueError: They differ in length.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns differ in length: {sorted(lengths)}")
    return lengths.pop() if lengths else 0


_MANY_TEXTS = 1000
"""Rows from which on it costs less to find equal texts first than to look up each of them."""


def _different(values: Array) -> tuple[Array, npt.NDArray[np.int64]] | None:
    """Find the different objects among many, and the place of each row's; None where most are different.

    Objects are told apart by where they lie: columns that are read have one object for each different text.
    """
    import pyarrow as pa

    cells = np.ascontiguousarray(values)
    memory = memoryview((ctypes.c_ssize_t * len(cells)).from_address(cells.ctypes.data)).cast("B")
    addresses = np.frombuffer(memory, np.intp)
    encoded = pa.array(addresses).dictionary_encode()
    places = encoded.indices.cast(pa.int64()).to_numpy()
    if 2 * len(encoded.dictionary) > len(cells):
        return None
    first = np.empty(len(encoded.dictionary), np.int64)
    first[places[::-1]] = np.arange(len(cells))[::-1]
    return cells[first], places


class Vocabulary:
    """The known categories of one input, numbered from 0 in sorted order."""

    def __init__(self, categories: Iterable[str]) -> None:
        self.categories = tuple(categories)
        self._codes = {category: code for code, category in enumerate(self.categories)}

    @classmethod
    def of(cls, values: Array) -> Vocabulary:
        """Collect the values that occur."""
        return cls(sorted({value for value in values if value is not None}))

    def __len__(self) -> int:
        return len(self.categories)

    def encode(self, values: Array) -> npt.NDArray[np.float32]:
        """Number each category, NaN for missing and for unknown ones; float32 of shape (n,)."""
        if len(values) > _MANY_TEXTS and (found := _different(values)):
            texts, places = found
            return self._numbered(texts)[places]
        return self._numbered(values)

    def _numbered(self, values: Iterable[Any]) -> npt.NDArray[np.float32]:
        missing = float("nan")
        return np.fromiter((self._codes.get(value, missing) for value in values), np.float32)


def learn_vocabularies(columns: Columns, inputs: Sequence[Input]) -> dict[str, Vocabulary]:
    """Learn the vocabulary of each categorical input."""
    return {one.name: Vocabulary.of(columns[one.name]) for one in inputs if one.is_categorical}


_CACHED_ROWS = 4096


def to_matrix(
    columns: Columns, inputs: Sequence[Input], vocabularies: Mapping[str, Vocabulary]
) -> npt.NDArray[np.float32]:
    """Put the inputs side by side, categories by their numbers; float32 of shape (n, inputs)."""
    matrix = np.empty((row_count(columns), len(inputs)), np.float32)
    values = [columns[one.name] for one in inputs]
    numbers = [
        vocabularies[one.name].encode(v) if one.is_categorical else v for one, v in zip(inputs, values, strict=True)
    ]
    for start in range(0, len(matrix), _CACHED_ROWS):  # a column at a time of all rows would fetch each row many times
        rows = slice(start, start + _CACHED_ROWS)
        for position, column in enumerate(numbers):
            matrix[rows, position] = column[rows]
    return matrix


def mean_of(margin: Array, task: Task) -> npt.NDArray[np.float64]:
    """Compute the mean of the label from a margin: a probability, or the mean of a number or count; shape (n,).

    Args:
        margin: Log-odds; the number itself; the logarithm of a count's mean, which is cut at 50; or of shape
            (n, classes), from which the probability of each class is computed in that shape.
        task: What sort of label there is.
    """
    if task == "binary":
        return sigmoid(margin)
    if task == "multiclass":
        return softmax(margin)
    margin = margin.astype(np.float64)
    return np.asarray(np.exp(np.minimum(margin, _LARGEST_LOGARITHM)) if task == "count" else margin)
