"""From Arrow's columns to NumPy's arrays, for features and for models alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FEW = 100
"""Rows below which it costs more to find equal texts than to hold each."""


def as_numbers(values: Array, precision: str) -> Array:
    """Numbers as models are given them: floating point, NaN for what is missing, infinite, or too large for that."""
    with np.errstate(over="ignore"):
        numbers = np.array(values, dtype=precision)
    return without_infinite(numbers)


def without_infinite(numbers: Array) -> Array:
    """Put NaN for what is infinite, in place."""
    infinite = np.isinf(numbers)
    if infinite.any():
        numbers[infinite] = np.nan
    return numbers


def as_vectors(column: Any, size: int, precision: str) -> Array:
    """Convert a list column of Arrow to shape (n, size); a null, or a list with a null in it, is a row of NaN.

    Raises:
        ValueError: A list is not of this size.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.list_value_length(lists)
    wrong = pc.filter(lengths, pc.not_equal(lengths, size))
    if len(wrong):
        raise ValueError(f"a vector has {wrong[0].as_py()} numbers, not {size}")
    vectors = np.full((len(lists), size), np.nan, precision)
    present = lists.is_valid().to_numpy(zero_copy_only=False)
    vectors[present] = as_numbers(pc.list_flatten(lists).to_numpy(zero_copy_only=False), precision).reshape(-1, size)
    vectors[np.isnan(vectors).any(axis=1)] = np.nan
    return vectors


def as_texts(column: Any) -> Array:
    """Convert a column of Arrow to text: an object array with None for null. The key of an entity may be a number."""
    import pyarrow as pa

    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if len(column) < _FEW:
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    # One object for each different text: one for each row, of 50 bytes and more, would be most of what columns need.
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = column.dictionary_encode()
    known = np.asarray([*encoded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(known[encoded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)], dtype=object)


def as_floats(column: Any, precision: str) -> Array:
    """Convert a column of numbers or truth values of Arrow to floating point with NaN for null; shape (n,)."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype == precision and values.flags.writeable:  # made for this column alone, since it has nulls
        return without_infinite(values)
    return as_numbers(values, precision)
