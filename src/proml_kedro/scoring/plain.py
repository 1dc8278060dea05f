"""Parquet files whose columns are what a model is given: read by Arrow itself, for two thirds of the engine's cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.errors import EngineError

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER = 1 << 20
"""Bytes of a column that are read at a time, so that a large row group needs no memory."""


def plain_columns(wanted: Mapping[str, str], file: Path | None, unchanged: frozenset[str]) -> dict[str, str] | None:
    """Find the columns of a file that a query selects as they are.

    Args:
        wanted: Name → SQL over the rows, whose values have the engine's types for features, keys or moments.
        file: A Parquet file that holds the rows in their order; None where there is no such one.
        unchanged: Columns of the rows that are columns of the file, but that not-a-number may be null in the rows.

    Returns:
        Name → column of the file; None where one of them is something else, or has a type that the engine changes.
    """
    if file is None or not wanted:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    same = {pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.timestamp("us", "UTC")}
    by_sql = {quote(name): name for name in unchanged}
    found = {name: by_sql.get(sql.strip()) for name, sql in wanted.items()}
    try:
        types = {one.name: one.type for one in pq.read_schema(file)}
    except (pa.ArrowException, OSError):  # what is wrong with it the engine says
        return None
    columns = {name: column for name, column in found.items() if column is not None and types.get(column) in same}
    return columns if len(columns) == len(wanted) else None


def plain_batches(file: Path, columns: Mapping[str, str], size: int) -> Iterator[pa.RecordBatch]:
    """Read columns of a Parquet file in record batches.

    Args:
        file: The file.
        columns: Name → column of the file.
        size: Rows of a batch, at most.

    Raises:
        EngineError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = list(dict.fromkeys(columns.values()))
    try:
        with pq.ParquetFile(file, buffer_size=_BUFFER) as content:
            for batch in content.iter_batches(size, columns=read, use_threads=False):
                for column in batch.columns:
                    if column.type == pa.string():
                        column.validate(full=True)  # the engine looks for what is no UTF-8, Arrow does not
                values = [batch.column(one) for one in columns.values()]
                yield pa.RecordBatch.from_arrays(values, names=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise EngineError(str(error)) from error
