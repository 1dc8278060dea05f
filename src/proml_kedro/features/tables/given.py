"""Files that a user gives by name rather than as a table of a problem: read by the same readers, as the same types."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.columns import cast_sql
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.text import PLAIN, Numbers, reading_of
from proml_kedro.spec.table import TableSpec


@contextmanager
def file_rows(file: Path, session: Session, key: str) -> Iterator[Relation]:
    """Give the rows of a file, which can be read while the block runs. Text is not cast.

    Args:
        file: A file that a table reader takes by its name.
        session: What reads it.
        key: Where the file is named in the configuration; empty when it is not.

    Raises:
        UserError: It cannot be read.
    """
    with rows_like(TableSpec(source=str(file)), file, session, key) as (rows, _):
        yield rows


@contextmanager
def rows_like(table: TableSpec, file: Path, session: Session, key: str) -> Iterator[tuple[Relation, Numbers]]:
    """Give the rows of a file that is written like a table's source, and how numbers are written in it.

    Args:
        table: The table: its dialect holds for a file of the same sort.
        file: As of :func:`file_rows`.
        session: What reads it.
        key: Where the file is named in the configuration; empty when it is not.

    Raises:
        UserError: It cannot be read.
    """
    source = Source("file", str(file), Path())
    with tempfile.TemporaryDirectory() as folder:
        try:
            reader = choose_reader(as_file(table, str(file)), source)
            with reader.fetch(source, Path(folder)) as files:
                reader = reader.for_other_columns(files)
                yield reader.relation(files, session), reader.numbers()
        except UserError as error:
            mistakes = (replace(one, key=key, message=f"'{file.name}': {one.message}") for one in error.mistakes)
            raise UserError(*mistakes) from error


def as_file(table: TableSpec, text: str) -> TableSpec:
    """Return a table read from another file, by the same dialect where that is a file of the same sort."""
    changes: dict[str, Any] = {
        "source": text,
        "query": None,
        "select": [],
        "types": {},
        "date_format": {},
        "columns": {},
    }
    if isinstance(table, TableReader) and table.suffixes and text.lower().endswith(table.suffixes):
        return table.model_copy(update=changes)
    return TableSpec(source=text)


def fits_sql(column: str, given: str, wanted: str) -> str:
    """Return the condition for a cell to be null or a value of a type, in SQL.

    Args:
        column: The column.
        given: SQL type that it has.
        wanted: SQL type that it is to have.
    """
    name = quote(column)
    if given == "VARCHAR":
        return reading_of(wanted).condition(name)
    return f"({name} IS NULL OR ({cast_sql(name, given, wanted, lenient=True)}) IS NOT NULL)"


def value_sql(column: str, given: str, wanted: str) -> str:
    """Return a cell as a value of a type, in SQL that fails where :func:`fits_sql` does not hold."""
    return reading_of(wanted).sql(quote(column)) if given == "VARCHAR" else cast_sql(quote(column), given, wanted)


def typed_where_it_fits(rows: Relation, types: Mapping[str, str], numbers: Numbers = PLAIN) -> Relation:
    """Return rows with columns of text read as types, except those with a cell that is no such value.

    Args:
        rows: The rows.
        types: Column → SQL type.
        numbers: How numbers are written.
    """
    texts = {name: type_ for name, type_ in types.items() if rows.type_of(name) == "VARCHAR" and type_ != "VARCHAR"}
    if not texts:
        return rows
    readings = {name: reading_of(type_, numbers) for name, type_ in texts.items()}
    bad = ", ".join(f"count(*) FILTER (NOT {one.condition(quote(name))})" for name, one in readings.items())
    counts = rows.engine.row(f"SELECT {bad} FROM {rows}")
    sound = {name: one for (name, one), count in zip(readings.items(), counts, strict=True) if not count}
    return rows.replace({name: one.sql(quote(name)) for name, one in sound.items()})
