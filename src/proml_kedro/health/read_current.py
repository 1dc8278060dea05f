"""Current rows from a user's file: read as they are, so that what is wrong with them becomes a finding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.engine.duckdb import is_moment, quote, sql_type
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.features.tables.given import rows_like, typed_where_it_fits
from proml_kedro.features.tables.text import PLAIN, Numbers
from proml_kedro.models.columns import as_vectors
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.table import TableSpec

_KEY = "monitoring.current.path"


def file_fingerprint(path: Path) -> str:
    """Return a digest of the file's content.

    Raises:
        UserError: There is no such file.
    """
    if not path.is_file():
        raise UserError.at(_KEY, f"no file '{path}'")
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_current(
    path: Path,
    inputs: Sequence[Input],
    hardware: HardwareSpec,
    features: FeaturesSpec | None = None,
    like: TableSpec | None = None,
) -> Columns:
    """Read the inputs that a file has, and compute on-demand ones from what it has.

    Args:
        path: A file that a table reader takes by its name, with a column for each input, named like it; for an
            on-demand feature, with what it is computed from.
        inputs: What to read. A column of another type than expected keeps its own.
        hardware: Threads and memory to read with.
        features: The problem's features, for on-demand ones.
        like: The table whose dialect the file has, if it is a file of the same sort.

    Raises:
        UserError: It cannot be read, or has none of the inputs.
    """
    try:
        table = _with_header(like) if like else TableSpec(source=str(path))
        with connect(hardware) as session, rows_like(table, path, session, _KEY) as (rows, numbers):
            found = columns_of(rows, inputs, features, numbers=numbers)
    except EngineError as error:
        raise UserError.at(_KEY, f"cannot read '{path}': {str(error).splitlines()[0]}") from error
    if not found:
        raise UserError.at(_KEY, f"'{path}' has none of the model's features, such as '{inputs[0].name}'")
    return found


def _with_header(table: TableSpec) -> TableSpec:
    """The table, if it has a header or names for its columns, with a header: columns are called like inputs here."""
    own = {name: value for name, value in {"header": True, "names": None}.items() if name in type(table).model_fields}
    return table.model_copy(update=own)


def columns_of(
    rows: Relation,
    inputs: Sequence[Input],
    features: FeaturesSpec | None = None,
    most_rows: int | None = None,
    numbers: Numbers = PLAIN,
) -> Columns:
    """Read the inputs that rows have, and compute on-demand ones; empty where they have none.

    Args:
        rows: The rows.
        inputs: What to read.
        features: The problem's features, for on-demand ones.
        most_rows: Of more rows a uniform sample is read, the same one each time by one thread.
        numbers: How numbers are written in columns of text.

    Raises:
        EngineError: They cannot be read.
    """
    on_demand = OnDemand(features, [one.name for one in inputs]) if features else None
    more = [Input(name, dtype) for name, dtype in on_demand.needs.items()] if on_demand else []
    present = [one for one in dict.fromkeys([*inputs, *more]) if rows.type_of(one.name) is not None]
    if not present:
        return {}
    sample = f" USING SAMPLE reservoir({most_rows} ROWS) REPEATABLE (0)" if most_rows else ""
    typed = _typed(rows, present, numbers)
    table: Any = rows.engine.arrow(f"SELECT {', '.join(_selected(rows, present))} FROM {typed}{sample}")
    columns = {one.name: _values(table[one.name], one) for one in present}
    sound = all(one.name in columns and (columns[one.name].dtype == object) == one.is_categorical for one in more)
    if on_demand and more and sound:
        columns = {**on_demand.compute(columns), **columns}
    return {one.name: columns[one.name] for one in inputs if one.name in columns}


def _typed(rows: Relation, inputs: Sequence[Input], numbers: Numbers) -> Relation:
    """Text as the types of inputs, read as it is for training; a column with other text stays text."""
    return typed_where_it_fits(rows, {one.name: sql_type(one.dtype) for one in inputs if one.size is None}, numbers)


def _selected(rows: Relation, inputs: Sequence[Input]) -> Iterator[str]:
    """The columns, with days, moments and truth values as the text that training makes of them for a category."""
    for one in inputs:
        name, type_ = quote(one.name), rows.type_of(one.name) or ""
        as_text = one.is_categorical and (is_moment(type_) or type_ == "BOOLEAN")
        yield f"CAST({name} AS VARCHAR) AS {name}" if as_text else name


def _values(column: Any, one: Input) -> Array:
    import pyarrow as pa

    if one.size is not None:
        return as_vectors(column, one.size, "float64")
    if column.null_count == len(column):  # of no type at all, so of the right one
        return np.full(len(column), None, object) if one.is_categorical else np.full(len(column), np.nan)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if one.is_categorical and is_number and one.is_entity:
        column, is_number = column.cast(pa.string()), False
    if is_number:
        return _doubles(column.cast(pa.float64(), safe=False).combine_chunks())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), object)
    return np.asarray(column.to_numpy(zero_copy_only=False), object)


def _doubles(array: Any) -> Array:
    """Read numbers of Arrow, NaN for null; its own conversion would import pandas, which costs more than all else."""
    valid, content = array.buffers()
    values: Array = np.frombuffer(content, np.float64)[array.offset : array.offset + len(array)]
    if array.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        values = np.where(bits[array.offset : array.offset + len(array)], values, np.nan)
    return values
