"""The table that is scored, as rows: read by the readers of source tables, as the types that training read it as."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from proml_kedro.bundle import Manifest
from proml_kedro.engine.duckdb import enclosed, explain, find, quote, sql_type
from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.columns import Column, ColumnTypes, typed
from proml_kedro.features.tables.declared import declare
from proml_kedro.features.tables.dirty import Dirty
from proml_kedro.features.tables.given import as_file
from proml_kedro.features.tables.read import without_nan
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.models.component import Input
from proml_kedro.spec.table import TableSpec

_KEY_TYPES = {"int": "BIGINT", "str": "VARCHAR"}


@dataclass(frozen=True)
class Rows:
    """Rows that are read, once they are asked for.

    Attributes:
        relation: The rows, with their types and with derived columns.
        source_columns: Columns of the file itself.
        derived: The SQL of derived columns.
        skipped: Derived columns that the file has no columns for → why.
        kept: Derived columns that the file has itself, and that cannot be derived from its others.
        wrong_cells: Finds cells that are not of their type; all rows are read for it.
        file: The Parquet file that holds the rows, if it is one file.
        unchanged: Columns of the rows that are columns of that file, but that not-a-number may be null in the rows.
    """

    relation: Relation
    source_columns: Sequence[str]
    derived: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    kept: Sequence[str] = ()
    wrong_cells: Callable[[], list[Mistake]] = list
    file: Path | None = None
    unchanged: frozenset[str] = frozenset()


def stored_rows(file: Path, session: Session) -> Rows:
    """Return the rows of a table that a run has read, with its derived columns.

    Args:
        file: Its Parquet file.
        session: What reads it.
    """
    relation = session.parquet(file)
    return Rows(relation, list(relation.schema), file=file, unchanged=frozenset(relation.schema))


def files_of(source: Source) -> list[Path]:
    """Return the files that a user has named.

    Raises:
        UserError: There are none.
    """
    with _blaming(source):
        return source.files()


@contextmanager
def file_rows(source: Source, manifest: Manifest, inputs: Sequence[Input], session: Session) -> Iterator[Rows]:
    """Give the rows of a file, which can be read while the block runs.

    Args:
        source: Names it.
        manifest: Says how training read the examples' table.
        inputs: What the model reads; the file may have columns of these names.
        session: What reads it.

    Raises:
        UserError: It cannot be read, or dates in it can be read in two ways.
    """
    table = manifest.problem.tables[manifest.problem.examples.table]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as until_read:
        with _blaming(source):
            reader = choose_reader(as_file(table, source.text), source)
            files = until_read.enter_context(reader.fetch(source, Path(folder)))
            reader = reader.for_other_columns(files)
        try:
            with _blaming(source):
                read = reader.relation(files, session)
                rows = _typed_rows(read, reader, manifest, inputs)
            is_one = len(files) == 1 and read.sql.startswith("read_parquet(")
            yield replace(rows, file=files[0]) if is_one else rows
        except MachineError:
            raise
        except EngineError as error:
            _, message = reader.blame(error, files, session) or ("", explain(error))
            raise UserError(Mistake("", message, source.text)) from error


def _typed_rows(rows: Relation, reader: TableReader, manifest: Manifest, inputs: Sequence[Input]) -> Rows:
    name = manifest.problem.examples.table
    table, declared = manifest.problem.tables[name], declare(manifest.problem, manifest.features)
    known = _known_types(rows, table, manifest, inputs)
    columns = ColumnTypes(name, known, declared, reader.numbers(), reader.is_text).decide(rows)
    dirty = Dirty("", rows, reader.is_text)
    if mistakes := list(dirty.moments(columns, list(known.types))):
        raise UserError(*(replace(one, key="") for one in mistakes))
    relation, skipped, kept = _with_derived(without_nan(typed(rows, columns)), table)
    derived = " ".join(table.columns.values())
    replaced = {one.lower() for one in table.columns}
    unchanged = frozenset(
        column
        for column, one in columns.items()
        if one.sql(column, rows.schema[column]) is None and column.lower() not in replaced
    )
    return Rows(
        relation,
        list(rows.schema),
        derived,
        skipped,
        kept,
        lambda: list(_wrong_cells(dirty, columns)),
        unchanged=unchanged,
    )


def _known_types(rows: Relation, table: TableSpec, manifest: Manifest, inputs: Sequence[Input]) -> TableSpec:
    """What is known of the columns that are there: as training read them, as YAML says, as the model reads them."""
    schema = manifest.rows
    named = {one.name: sql_type(one.dtype) for one in inputs if one.size is None and not one.is_entity}
    keys = {name: _KEY_TYPES[kind] for name, kind in schema.entities.items()}
    types = {**schema.read_as, **table.types, **named, **keys}
    formats = {**schema.date_format, **table.date_format}
    return TableSpec(
        source="file",
        types={name: type_ for name, type_ in types.items() if find(name, rows.schema) is not None},
        date_format={name: one for name, one in formats.items() if find(name, rows.schema) == "VARCHAR"},
    )


def _wrong_cells(dirty: Dirty, columns: Mapping[str, Column]) -> Iterator[Mistake]:
    for one in dirty.cells(columns):
        yield Mistake("", f"{one.message.rpartition('; ')[0]}; mend these cells, or leave them empty")


def _with_derived(relation: Relation, table: TableSpec) -> tuple[Relation, dict[str, str], list[str]]:
    """Add the derived columns that can be derived from what is there."""
    skipped: dict[str, str] = {}
    kept = []
    for name, expression in table.columns.items():
        type_, mistake = relation.check_expression(expression, name)
        is_there = relation.type_of(name) is not None
        if type_ is None:
            skipped[name] = mistake.message if mistake else ""
            kept += [name] if is_there else []
            continue
        column = f"{enclosed(expression)} AS {quote(name)}"
        relation = relation.select(f"* REPLACE ({column})" if is_there else f"*, {column}")
    return relation, {name: why for name, why in skipped.items() if name not in kept}, kept


@contextmanager
def _blaming(source: Source) -> Iterator[None]:
    """Say of which file the mistakes are, in place of a key of the configuration."""
    try:
        yield
    except UserError as error:
        mistakes = [
            one if one.where else replace(one, key=_own_key(one.key, source), where=source.text)
            for one in error.mistakes
        ]
        raise UserError(*mistakes) from error


def _own_key(key: str, source: Source) -> str:
    return "" if key.startswith((source.key, "source", "encoding")) else key
