"""Source files → one Parquet file for each table, with the columns derived from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.engine.duckdb import TYPES, enclosed, explain, is_moment, quote
from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.derived import DerivedColumns
from proml_kedro.features.tables.queries import reading_order
from proml_kedro.features.tables.readers.base import Source, cast_columns, check_typed_columns, replace_columns
from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ExamplesSpec, ProblemSpec, TableSpec

logger = logging.getLogger(__name__)

_COMMON_TYPES = [*TYPES.values(), "TIMESTAMPTZ", "TIMESTAMP", "DATE", "INTEGER", "DECIMAL", "TEXT"]


def read_tables(problem: ProblemSpec, base_path: Path, hardware: HardwareSpec, folder: Path) -> None:
    """Read every table of a problem into ``<table>.parquet``.

    In CSV files, empty fields and ``NA`` are null, and column types are read off the whole file. Not-a-number is null
    too. Derived columns are added in order, and queries read other tables with them. The examples' timestamp becomes
    ``TIMESTAMPTZ``; without a zone it is UTC.

    Args:
        problem: The problem.
        base_path: What relative paths of sources are relative to.
        hardware: The machine.
        folder: An empty folder to write to.

    Raises:
        UserError: Files, columns, types or expressions that do not work, for all tables at once.
    """
    mistakes: list[Mistake] = []
    with connect(hardware, folder) as session:
        failed: set[str] = set()
        for name, reads in reading_order(session, problem.tables).items():
            if failed.intersection(reads):  # what is wrong there is said; here it would be said again
                failed.add(name)
                continue
            examples = problem.examples if name == problem.examples.table else None
            try:
                _Table(Tables(session, folder), name, problem.tables[name], examples).read(base_path)
            except UserError as error:
                mistakes += error.mistakes
                failed.add(name)
    if mistakes:
        raise UserError(*mistakes)


def source_fingerprint(name: str, table: TableSpec, base_path: Path) -> str:
    """Return a digest that differs when a table's source holds something else.

    Args:
        name: The table's name in the problem, for errors.
        table: The table; it has a source.
        base_path: What relative paths are relative to.

    Raises:
        UserError: There is no such source, or no reader for it.
    """
    source = Source(name, table.source or "", base_path)
    return choose_reader(table, source).fingerprint(source)


@dataclass(frozen=True)
class _Table:
    """Reads one table.

    Attributes:
        tables: Where to write it.
        name: Its name.
        table: What it is.
        examples: What the problem says of it if it holds the examples.
    """

    tables: Tables
    name: str
    table: TableSpec
    examples: ExamplesSpec | None

    @property
    def _key(self) -> str:
        return f"problem.tables.{self.name}"

    @property
    def _derived(self) -> DerivedColumns:
        return DerivedColumns(self.table, self._key)

    def read(self, base_path: Path) -> None:
        _check_type_names(self.tables.session, self.table.types, self._key)
        if self.table.query is not None:
            self._read_query(self.table.query)
        else:
            self._read_source(Source(self.name, self.table.source or "", base_path))

    def _read_source(self, source: Source) -> None:
        reader, session = choose_reader(self.table, source), self.tables.session
        with reader.fetch(source, self.tables.folder) as files:
            rows = None
            try:
                rows = self._typed(reader.relation(files, session), reader.applies_types)
                self._write(rows, ("source", f"'{source.text}' has no rows"))
            except MachineError:
                raise
            except EngineError as error:
                key, message = reader.blame(error, files, session) or self._blame_column(error, rows, "source")
                raise UserError.at(f"{self._key}.{key}", message) from error

    def _read_query(self, query: str) -> None:
        rows = None
        try:
            rows = self._typed(self.tables.session.relation(enclosed(query)), applied=False)
            self._write(rows, ("query", "gives no rows"))
        except MachineError:
            raise
        except EngineError as error:
            key, message = self._blame_column(error, rows, "query")
            raise UserError.at(f"{self._key}.{key}", message) from error

    def _typed(self, rows: Relation, applied: bool) -> Relation:
        """The rows with declared types, whether or not the reader has applied them; not-a-number is null."""
        check_typed_columns(self.table, rows.schema, self._key)
        return _without_nan(rows if applied else cast_columns(self.table.types, rows))

    def _write(self, rows: Relation, empty: tuple[str, str]) -> None:
        session = self.tables.session
        if not rows.has_rows():
            raise UserError.at(f"{self._key}.{empty[0]}", empty[1])
        # Expressions are checked on an empty copy, so that a file's types are worked out only once.
        session.run(f"CREATE OR REPLACE TEMP TABLE __empty AS SELECT * FROM {rows} LIMIT 0")
        no_rows = session.relation("__empty")
        self._derived.check(no_rows)
        written = self._derived.add(rows)
        if self.examples is not None:
            _check_examples(self.examples, self._derived.add(no_rows).schema, written, self._key)
            moment = quote(self.examples.timestamp)
            written = replace_columns([f"CAST({moment} AS TIMESTAMPTZ) AS {moment}"], written)
        count = session.write_parquet(f"SELECT * FROM {written}", self.tables.file(self.name))
        session.run(f"CREATE OR REPLACE TEMP VIEW {quote(self.name)} AS FROM {self.tables.relation(self.name)}")
        logger.info("table %s: %s rows", self.name, f"{count:,}")

    def _blame_column(self, error: EngineError, rows: Relation | None, origin: str) -> tuple[str, str]:
        failed = self._derived.first_failing(rows) if rows else None
        return f"columns.{failed}" if failed else origin, explain(error)


def _check_type_names(session: Session, types: Mapping[str, str], key: str) -> None:
    mistakes = []
    for column, type_ in types.items():
        try:
            session.run(f"SELECT CAST(NULL AS {type_})")
        except EngineError:
            mistakes.append(Mistake(f"{key}.types.{column}", unknown("type", type_, _COMMON_TYPES)))
    if mistakes:
        raise UserError(*mistakes)


def _without_nan(relation: Relation) -> Relation:
    """Not-a-number is how other tools write a missing number."""
    numbers = [quote(name) for name, type_ in relation.schema.items() if type_ in ("DOUBLE", "FLOAT")]
    return replace_columns([f"nullif({name}, 'nan') AS {name}" for name in numbers], relation)


def _check_examples(examples: ExamplesSpec, columns: dict[str, str], rows: Relation, key: str) -> None:
    """Check that the examples' own columns exist, and that their timestamp is one."""
    lower = {name.lower(): type_ for name, type_ in columns.items()}
    mistakes = [
        Mistake(f"problem.examples.entities.{position}", unknown("column", name, columns))
        for position, name in enumerate(examples.entities)
        if name.lower() not in lower
    ]
    type_ = lower.get(examples.timestamp.lower())
    if type_ is None:
        mistakes.append(Mistake("problem.examples.timestamp", unknown("column", examples.timestamp, columns)))
    elif not is_moment(type_):
        mistakes.append(_not_a_moment(examples.timestamp, type_, rows, key))
    if mistakes:
        raise UserError(*mistakes)


def _not_a_moment(column: str, type_: str, rows: Relation, table: str) -> Mistake:
    key = f"{table}.types.{column}"
    if type_ != "VARCHAR":
        return Mistake(
            "problem.examples.timestamp",
            f"'{column}' is {type_}, not a timestamp; derive one under {table}.columns, "
            f"for example with to_timestamp({column})",
        )
    bad, first = rows.engine.row(
        f"SELECT count(*), min(position) FROM (SELECT {quote(column)} AS value, row_number() OVER () AS position "
        f"FROM {rows}) WHERE value IS NOT NULL AND TRY_CAST(value AS TIMESTAMPTZ) IS NULL"
    )
    if bad:
        message = f"'{column}' is not a timestamp: {bad:,} values cannot be read as one, the first in row {first}"
        return Mistake(key, message)
    return Mistake(key, f"'{column}' is text; write types: {{{column}: TIMESTAMPTZ}}")
