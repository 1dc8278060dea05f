"""Rows of an engine that are to come in an order: checked, since Sail 0.7 drops some sorts without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.spark.session import DroppedSortError

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP = 120_000
"""Rows of a row group, at least."""


def in_order(parts: Iterable[pa.Table], by: Sequence[str], what: str) -> Iterator[pa.Table]:
    """Pass rows on, if each comes behind the one before it.

    Args:
        parts: The rows, in parts.
        by: Columns that no two rows share, in the order of the sort; none of their values is null.
        what: What the rows are, for the error.

    Raises:
        DroppedSortError: A row does not come behind the one before it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    last = None
    for part in parts:
        if part.num_rows:
            keys = part.select(list(by)) if last is None else pa.concat_tables([last, part.select(list(by))])
            if not pc.all(_increasing(keys), min_count=0).as_py():
                message = f"the engine has dropped a sort, or doubled rows: {what} did not come in the order of"
                raise DroppedSortError(f"{message} {', '.join(by)}; nothing was written")
            last = keys.slice(keys.num_rows - 1)
        yield part


def _increasing(keys: pa.Table) -> pa.ChunkedArray:
    """Whether each row but the first is behind the one before it."""
    import pyarrow.compute as pc

    result = None
    for column in reversed(keys.columns):
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        is_less = pc.less(before, after)
        result = is_less if result is None else pc.or_(is_less, pc.and_(pc.equal(before, after), result))
    return pc.fill_null(result, False)


def write_parquet(parts: Iterable[pa.Table], file: Path) -> int:
    """Write rows to a Parquet file and return their number.

    Args:
        parts: The rows, in parts, at least one of them.
        file: The file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[pa.Table] = []
    writer, rows = None, 0
    try:
        for part in parts:
            writer = writer or pq.ParquetWriter(file, part.schema, compression="zstd")
            waiting.append(part)
            if sum(one.num_rows for one in waiting) >= _GROUP:
                rows += _write(writer, pa.concat_tables(waiting))
                waiting = []
        if writer:
            rows += _write(writer, pa.concat_tables(waiting)) if waiting else 0
    finally:
        if writer:
            writer.close()
    return rows


def _write(writer: object, table: pa.Table) -> int:
    writer.write_table(table)  # type: ignore[attr-defined]
    return int(table.num_rows)
