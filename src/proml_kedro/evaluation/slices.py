"""Parts of the test period that are judged by themselves: what training has seen or not, and values of columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.rows import Slice
from proml_kedro.spec.split import TEST, TRAIN
from proml_kedro.spec.training_set import SPLIT

KNOWN, UNKNOWN = "known", "unknown"
"""Names of the slices of a key: whether the training split has a row of it."""

MOST = 20
"""Values of a column that have a slice of their own."""


def by_knowledge(training_set: Path, key: str) -> Iterator[Slice]:
    """Yield the test rows of keys that the training split has rows of, and those of others, missing keys among them.

    Args:
        training_set: The Parquet file of the training set.
        key: Column of the key.
    """
    import pyarrow.compute as pc

    seen = _column(training_set, key, TRAIN).unique().drop_null()
    test = _column(training_set, key, TEST)
    known = pc.is_in(test, value_set=seen)
    is_known = np.asarray(known.to_numpy(zero_copy_only=False), bool)
    yield Slice(key, KNOWN, is_known)
    yield Slice(key, UNKNOWN, ~is_known)


def by_value(training_set: Path, column: str) -> Iterator[Slice]:
    """Yield the test rows of each value of a column, as :func:`of_values` does.

    Args:
        training_set: The Parquet file of the training set.
        column: The column.
    """
    yield from of_values(column, _column(training_set, column, TEST))


def of_values(column: str, values: Any) -> Iterator[Slice]:
    """Yield the rows of each value: of the 20 most frequent ones, and of all others together.

    A column of numbers with more values is cut into quarters of the rows; equal numbers stay together.

    Args:
        column: Name of the column.
        values: Its values, a ``pyarrow.Array``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = np.asarray(values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), bool)
    is_number = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    if is_number and pc.count_distinct(values).as_py() > MOST:
        yield from _quarters(column, values.to_numpy(zero_copy_only=False).astype(np.float64), missing)
    else:
        text = np.asarray(values.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False), object)
        names, counts = np.unique(text[~missing].astype(str), return_counts=True)
        frequent = names[np.argsort(-counts, kind="stable")[:MOST]]
        chosen = sorted(frequent, key=float) if is_number else sorted(frequent)
        yield from (Slice(column, str(one), (text == one) & ~missing) for one in chosen)
        if len(names) > MOST:
            yield Slice(column, "other values", ~np.isin(text.astype(str), chosen) & ~missing)
    if missing.any():
        yield Slice(column, "missing", missing)


def _quarters(column: str, numbers: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]) -> Iterator[Slice]:
    edges = np.unique(np.quantile(numbers[~missing], [0.25, 0.5, 0.75], method="lower"))
    quarter = np.searchsorted(edges, numbers, "left")
    for one in range(len(edges) + 1):
        name = f"above {edges[-1]:g}" if one == len(edges) else f"up to {edges[one]:g}"
        rows = (quarter == one) & ~missing
        if rows.any():
            yield Slice(column, name, rows)


def _column(file: Path, name: str, split: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(file, columns=[name], filters=[(SPLIT, "=", split)])[name].combine_chunks()
