"""Parquet copies of what comes as Arrow, for the time that a table is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from proml_kedro.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIGITS = 38
"""Of DECIMAL; the engine reads longer ones in double precision."""


@contextmanager
def parquet_copy(rows: pa.RecordBatchReader, file: Path, key: str) -> Iterator[Sequence[Path]]:
    """Give a file with all rows, in their order, which is removed when the block ends.

    Args:
        rows: The rows; they are never held together.
        file: The file to write.
        key: Where the source stands in the configuration.

    Raises:
        UserError: A column has no name of its own, or a type that would change its values.
    """
    try:
        write_copy(rows, file, key)
        yield [file]
    finally:
        file.unlink(missing_ok=True)


def write_copy(rows: pa.RecordBatchReader, target: Path | IO[Any], key: str) -> None:
    """Write all rows as Parquet; equal rows in equal batches are equal bytes.

    Raises:
        UserError: As :func:`parquet_copy`.
    """
    import pyarrow.parquet as pq

    schema = rows.schema.remove_metadata()
    _check(schema, key)
    with pq.ParquetWriter(target, schema) as writer:
        for batch in rows:
            writer.write_batch(batch.replace_schema_metadata(None))


def check_names(names: Iterable[str], key: str, where: str = "") -> None:
    """Refuse names that two columns have; the engine takes ``A`` for ``a``, and would rename one.

    Args:
        names: Those of all columns.
        key: Where the source stands in the configuration.
        where: What has these columns, for the message.

    Raises:
        UserError: There are such.
    """
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise UserError.at(key, f"{where}two columns are called '{name}', in upper or lower case; rename one")
        seen.add(name.lower())


def _check(schema: pa.Schema, key: str) -> None:
    import pyarrow as pa

    check_names(schema.names, key)
    for field in schema:
        if pa.types.is_duration(field.type):
            raise UserError.at(key, f"'{field.name}' holds durations; write them as numbers, in seconds for example")
        if pa.types.is_decimal(field.type) and field.type.precision > MOST_DIGITS:
            message = f"'{field.name}' has numbers of {field.type.precision} digits and at most {MOST_DIGITS} are kept"
            raise UserError.at(key, f"{message}; write it as text, or with fewer")
