"""Examples in batches: from Parquet without a Python object for each row, or from memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from proml_kedro.arrow_arrays import as_floats
from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.encoding import SEPARATOR
from proml_kedro.models.mixed.streamed.storage.partition import RowBatch

_ROWS = 1 << 17


@dataclass(frozen=True)
class RowSchema:
    """Columns that are read of each row.

    Attributes:
        entity: Inputs that together name the entity.
        offset: A numeric input, or None.
        exposure: A numeric input whose logarithm is added to the offset, or None.
        numbers: Numeric inputs.
        weighted: Whether rows have weights.
        origins: What is taken off offset and label before they become float32, so that nothing is lost of large ones.
    """

    entity: Sequence[str]
    offset: str | None
    exposure: str | None
    numbers: Sequence[str]
    weighted: bool
    origins: tuple[float, float] = (0.0, 0.0)

    @property
    def columns(self) -> int:
        """Count of the numbers of a row: its offset, the numbers, the label, and the weight where there is one."""
        return 2 + len(self.numbers) + self.weighted

    @property
    def inputs(self) -> list[str]:
        """Names of all inputs that are read."""
        numbers = (name for name in (self.offset, self.exposure, *self.numbers) if name is not None)
        return list(dict.fromkeys([*self.entity, *numbers]))


def batches(examples: Sequence[Examples], schema: RowSchema) -> Iterator[RowBatch]:
    """Read the rows with a label, a positive weight and a positive exposure, one set of examples after the other."""
    return chain.from_iterable(_batches(one, schema) for one in examples)


def _batches(examples: Examples, schema: RowSchema) -> Iterator[RowBatch]:
    first = 0
    for columns in _parts(examples, schema.inputs):
        names = _joined([columns[name] for name in schema.entity])
        here = slice(first, first + len(names))
        values = np.zeros((schema.columns, len(names)), np.float32)
        if schema.offset is not None:
            values[0] = _as_numbers(columns[schema.offset], schema.origins[0])
        for position, name in enumerate(schema.numbers, start=1):
            values[position] = _as_numbers(columns[name])
        label = values[len(schema.numbers) + 1]
        label[:] = examples.label[here] - schema.origins[1]
        counts = np.isfinite(label)
        if schema.weighted and examples.weight is not None:
            values[-1] = examples.weight[here]
            counts &= np.isfinite(values[-1]) & (values[-1] > 0)
        if schema.exposure is not None:
            counts &= _add_exposure(values[0], _as_numbers(columns[schema.exposure]))
        first = here.stop
        yield RowBatch(names, values) if counts.all() else _select(names, values, counts)


def _select(names: Any, values: Array, counts: Array) -> RowBatch:
    import pyarrow as pa

    return RowBatch(names.filter(pa.array(counts)), values[:, counts])


def _add_exposure(offset: Array, exposure: Array) -> Array:
    """Add the logarithm of the exposure to the offset in place, where a missing offset counts as 0.

    Returns:
        bool of shape (n,): which rows have a positive exposure.
    """
    known = np.isfinite(exposure) & (exposure > 0)
    offset[~np.isfinite(offset)] = 0.0
    offset[known] += np.log(exposure[known])
    return np.asarray(known)


def _parts(examples: Examples, names: list[str]) -> Iterator[dict[str, Any]]:
    """Read batches of Arrow arrays by name."""
    if examples.source is not None:
        for batch in examples.source.record_batches(names, _ROWS):
            yield {name: batch.column(name) for name in names}
        return
    import pyarrow as pa

    for first in range(0, len(examples), _ROWS):
        yield {name: pa.array(examples.columns[name][first : first + _ROWS], from_pandas=True) for name in names}


def _joined(parts: list[Any]) -> Any:
    """Join the names of each row's entity; missing where a part of it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(parts) == 1:
        return parts[0]
    text = pa.large_string()
    return pc.binary_join_element_wise(*(one.cast(text) for one in parts), pa.scalar(SEPARATOR, text))


def first_mean(examples: Examples, name: str) -> float:
    """Compute the mean of the finite values of a numeric input in the first rows; 0 where there is none."""
    values = next((as_floats(part[name], "float64") for part in _parts(examples, [name])), np.zeros(0))
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _as_numbers(column: Any, origin: float = 0.0) -> Array:
    """Read a column as float32, less its origin; a missing number is 0 before that comes off."""
    if not origin:
        return as_floats(column, "float32")
    values = as_floats(column, "float64")
    return np.asarray(np.where(np.isfinite(values), values, 0.0) - origin, np.float32)
