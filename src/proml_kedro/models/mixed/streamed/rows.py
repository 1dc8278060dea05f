"""Examples in batches, from wherever they can be had: Parquet without a Python object for each row, or memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from proml_kedro.models.columns import ParquetRows, as_numbers
from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.encoding import SEPARATOR
from proml_kedro.models.mixed.streamed.partition import Batch

_ROWS = 1 << 17


def batches(examples: Sequence[Examples], entity: Sequence[str], numbers: Sequence[str | None]) -> Iterator[Batch]:
    """All rows, one set of examples after the other.

    Args:
        examples: Any number.
        entity: The inputs that together name the entity.
        numbers: Inputs, None for zeros; the label comes after them.
    """
    return chain.from_iterable(_batches(one, entity, numbers) for one in examples)


def _batches(examples: Examples, entity: Sequence[str], numbers: Sequence[str | None]) -> Iterator[Batch]:
    wanted = dict.fromkeys([*entity, *(name for name in numbers if name is not None)])
    first = 0
    for columns in _parts(examples, list(wanted)):
        names = _joined([columns[name] for name in entity])
        values = np.zeros((len(numbers) + 1, len(names)), np.float32)
        for position, name in enumerate(numbers):
            if name is not None:
                values[position] = _as_numbers(columns[name])
        values[-1] = examples.label[first : first + len(names)]
        first += len(names)
        yield Batch(names, values)


def _parts(examples: Examples, names: list[str]) -> Iterator[dict[str, Any]]:
    """Arrow arrays by name."""
    if isinstance(examples.source, ParquetRows):
        for batch in examples.source.record_batches(names, _ROWS):
            yield {name: batch.column(name) for name in names}
        return
    import pyarrow as pa

    for first in range(0, len(examples), _ROWS):
        yield {name: pa.array(examples.columns[name][first : first + _ROWS], from_pandas=True) for name in names}


def _joined(parts: list[Any]) -> Any:
    """The name of each row's entity; missing where a part of it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(parts) == 1:
        return parts[0]
    text = pa.large_string()
    return pc.binary_join_element_wise(*(one.cast(text) for one in parts), pa.scalar(SEPARATOR, text))


def _as_numbers(column: Any) -> Array:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return as_numbers(column.to_numpy(zero_copy_only=False), "float32")
