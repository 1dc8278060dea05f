"""Examples in batches, from wherever they can be had: Parquet without a Python object for each row, or memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from proml_kedro.models.columns import as_numbers
from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.encoding import SEPARATOR
from proml_kedro.models.mixed.streamed.storage.partition import Batch

_ROWS = 1 << 17


@dataclass(frozen=True)
class Wanted:
    """What is read of a row.

    Attributes:
        entity: The inputs that together name the entity.
        offset: A numeric input, or None.
        exposure: A numeric input whose logarithm is added to the offset, or None.
        numbers: Numeric inputs.
        weighted: Whether rows have weights.
    """

    entity: Sequence[str]
    offset: str | None
    exposure: str | None
    numbers: Sequence[str]
    weighted: bool

    @property
    def columns(self) -> int:
        """How many numbers a row has: its offset, the numbers, the label, and the weight where there is one."""
        return 2 + len(self.numbers) + self.weighted

    @property
    def inputs(self) -> list[str]:
        """Every input that is read, once."""
        numbers = (name for name in (self.offset, self.exposure, *self.numbers) if name is not None)
        return list(dict.fromkeys([*self.entity, *numbers]))


def batches(examples: Sequence[Examples], wanted: Wanted) -> Iterator[Batch]:
    """All rows that count, one set of examples after the other: those with label, weight and exposure."""
    return chain.from_iterable(_batches(one, wanted) for one in examples)


def _batches(examples: Examples, wanted: Wanted) -> Iterator[Batch]:
    first = 0
    for columns in _parts(examples, wanted.inputs):
        names = _joined([columns[name] for name in wanted.entity])
        here = slice(first, first + len(names))
        values = np.zeros((wanted.columns, len(names)), np.float32)
        if wanted.offset is not None:
            values[0] = _as_numbers(columns[wanted.offset])
        for position, name in enumerate(wanted.numbers, start=1):
            values[position] = _as_numbers(columns[name])
        label = values[len(wanted.numbers) + 1]
        label[:] = examples.label[here]
        counts = np.isfinite(label)
        if wanted.weighted and examples.weight is not None:
            values[-1] = examples.weight[here]
            counts &= np.isfinite(values[-1]) & (values[-1] > 0)
        if wanted.exposure is not None:
            counts &= _add_exposure(values[0], _as_numbers(columns[wanted.exposure]))
        first = here.stop
        yield Batch(names, values) if counts.all() else _those(names, values, counts)


def _those(names: Any, values: Array, counts: Array) -> Batch:
    import pyarrow as pa

    return Batch(names.filter(pa.array(counts)), values[:, counts])


def _add_exposure(offset: Array, exposure: Array) -> Array:
    """Add the logarithm of the exposure; which rows have one. A missing offset counts as none."""
    known = np.isfinite(exposure) & (exposure > 0)
    offset[~np.isfinite(offset)] = 0.0
    offset[known] += np.log(exposure[known])
    return np.asarray(known)


def _parts(examples: Examples, names: list[str]) -> Iterator[dict[str, Any]]:
    """Arrow arrays by name."""
    if examples.source is not None:
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
