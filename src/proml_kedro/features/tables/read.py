"""Source files → one Parquet file for each table, with the columns derived from it, and facts on how it was read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from proml_kedro.engine.duckdb import enclosed, explain, quote
from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.errors import Mistake, RetriableError, UserError, unknown
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.columns import Batches, Column, ColumnTypes, no_batches, once_typed, typed
from proml_kedro.features.tables.declared import Declared, declare, is_used, words_used
from proml_kedro.features.tables.derived import DerivedColumns
from proml_kedro.features.tables.dirty import Dirty
from proml_kedro.features.tables.examples import check_examples
from proml_kedro.features.tables.keys import key_facts
from proml_kedro.features.tables.queries import reading_order
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.remote import on_this_machine, remote_files
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.tables.warnings import warnings_of
from proml_kedro.results import ColumnFacts, TablesFacts
from proml_kedro.spec.credentials import Credentials, no_credentials
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ExamplesSpec, ProblemSpec, TableSpec

logger = logging.getLogger(__name__)


def read_tables(
    problem: ProblemSpec,
    features: FeaturesSpec | None,
    base_path: Path,
    hardware: HardwareSpec,
    folder: Path,
    credentials: Credentials = no_credentials,
) -> None:
    """Read every table of a problem into ``<table>.parquet``, and how that was done into ``tables.json``.

    Text is read as text and cast once, as ``types`` of the table or else features declare it; where nothing is
    declared, as a type that loses nothing of any cell. Not-a-number is null. Derived columns are added in order, and
    queries read other tables with them. The examples' timestamp becomes ``TIMESTAMPTZ``; without a zone it is UTC.

    Args:
        problem: The problem.
        features: Its features, for what they declare of columns; None for none.
        base_path: What relative paths of sources are relative to.
        hardware: The machine.
        folder: An empty folder to write to.
        credentials: Gives those that sources name.

    Raises:
        UserError: Files, columns, types or cells that do not work, for all tables at once.
    """
    mistakes: list[Mistake] = []
    reading = _Reading(declare(problem, features), words_used(problem, features))
    with connect(hardware, folder) as session:
        tables = Tables(session, folder)
        failed: set[str] = set()
        passes = True
        for name, reads in reading_order(session, problem.tables).items():
            if failed.intersection(reads):  # what is wrong there is said; here it would be said again
                failed.add(name)
                continue
            examples = problem.examples if name == problem.examples.table else None
            try:
                table = _Table(tables, name, problem.tables[name], examples, reading)
                table.read(base_path, credentials)
            except UserError as error:
                mistakes += error.mistakes
                failed.add(name)
                passes = passes and isinstance(error, RetriableError)
        if mistakes:
            raise (RetriableError if passes else UserError)(*mistakes)
        keys = key_facts(tables, reading.declared.keys)
        warnings = tuple(warnings_of(problem, features, tables, keys))
        facts = TablesFacts(
            rows=reading.rows, columns=reading.columns, keys=keys, warnings=warnings, local=reading.local
        )
        facts.write(folder)


def source_fingerprint(name: str, table: TableSpec, base_path: Path, credentials: Credentials = no_credentials) -> str:
    """Return a digest that differs when a table's source holds something else.

    Args:
        name: The table's name in the problem, for errors.
        table: The table; it has a source.
        base_path: What relative paths are relative to.
        credentials: Gives those that the source names.

    Raises:
        UserError: There is no such source, or no reader for it.
    """
    source = Source(name, table.source or "", base_path, credentials)
    if remote := remote_files(table, source):
        return remote.fingerprint()
    return choose_reader(table, source).fingerprint(source)


_LOCAL = ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S")


class _GuessedWrongError(Exception):
    """What was guessed by the beginning of a file may be wrong for the rest; it has to be looked at whole."""


@dataclass(frozen=True)
class _Reading:
    """What is known of all tables, and what becomes known.

    Attributes:
        declared: What features say of columns.
        words: Those of all SQL and names of the problem and its features.
        rows: Table → how many rows it has.
        columns: Table → column of its source → how it was read.
        local: Table → its columns with moments that have no time zone.
    """

    declared: Declared
    words: frozenset[str]
    rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, Mapping[str, ColumnFacts]] = field(default_factory=dict)
    local: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Table:
    """Reads one table.

    Attributes:
        tables: Where to write it.
        name: Its name.
        table: What it is.
        examples: What the problem says of it if it holds the examples.
        reading: What is known of all tables.
    """

    tables: Tables
    name: str
    table: TableSpec
    examples: ExamplesSpec | None
    reading: _Reading

    @property
    def _key(self) -> str:
        return f"problem.tables.{self.name}"

    @property
    def _derived(self) -> DerivedColumns:
        return DerivedColumns(self.table, self._key)

    def read(self, base_path: Path, credentials: Credentials) -> None:
        if self.table.query is not None:
            self._read_query(self.table.query)
        else:
            self._read_source(Source(self.name, self.table.source or "", base_path, credentials))

    def _read_source(self, source: Source) -> None:
        with on_this_machine(self.table, source, self.tables.folder) as near:
            self._read_near(near)

    def _read_near(self, source: Source) -> None:
        reader, session = choose_reader(self.table, source), self.tables.session
        with reader.fetch(source, self.tables.folder) as files:
            try:
                rows = self._relation(reader, files)
                empty = ("source", f"'{source.text}' has no rows")
                types = ColumnTypes(self.name, self.table, self.reading.declared, reader.numbers(), reader.is_text)
                self._read(rows, types, empty, partial(reader.batches, files))
            except MachineError:
                raise
            except EngineError as error:
                key, message = reader.blame(error, files, session) or ("source", explain(error))
                raise UserError.at(f"{self._key}.{key}", message) from error

    def _relation(self, reader: TableReader, files: Sequence[Path]) -> Relation:
        try:
            return self._selected(reader.relation(files, self.tables.session))
        except UserError as error:
            raise UserError(*(replace(one, key=f"{self._key}.{one.key}") for one in error.mistakes)) from error

    def _selected(self, rows: Relation) -> Relation:
        if not self.table.select:
            return rows
        unknown_ = [
            Mistake(f"select.{position}", unknown("column", name, rows.schema))
            for position, name in enumerate(self.table.select)
            if rows.type_of(name) is None
        ]
        if unknown_:
            raise UserError(*unknown_)
        types = {name: rows.schema[name] for name in self.table.selected(list(rows.schema))}
        return Relation(f"(SELECT {', '.join(map(quote, types))} FROM {rows})", self.tables.session, types)

    def _read_query(self, query: str) -> None:
        rows = self.tables.session.relation(enclosed(query))
        try:
            types = ColumnTypes(self.name, self.table, self.reading.declared)
            self._read(rows, types, ("query", "gives no rows"), no_batches)
        except MachineError:
            raise
        except EngineError as error:
            raise UserError.at(f"{self._key}.query", explain(error)) from error

    def _read(self, rows: Relation, types: ColumnTypes, empty: tuple[str, str], batches: Batches) -> None:
        if not rows.has_rows():
            raise UserError.at(f"{self._key}.{empty[0]}", empty[1])
        try:
            self._read_as(rows, types, types.decide(rows, surely=False), batches)
        except _GuessedWrongError:
            self._read_as(rows, types, types.decide(rows), batches)

    def _read_as(self, rows: Relation, types: ColumnTypes, columns: Mapping[str, Column], batches: Batches) -> None:
        dirty = Dirty(self._key, rows, types.is_text)
        mistakes = list(dirty.moments(columns, [one for one in columns if is_used(one, self.reading.words)]))
        guessed = any(one.by_sample for one in columns.values())
        if mistakes:
            if guessed:
                raise _GuessedWrongError
            raise UserError(*mistakes, *dirty.cells(columns))
        source = typed(rows, columns)
        try:
            self._write(source, lambda: once_typed(batches, columns, self.tables.session))
        except MachineError:
            raise
        except (EngineError, UserError) as error:
            if guessed:
                raise _GuessedWrongError from error
            if isinstance(error, UserError):
                raise
            raise self._dirty(error, source, list(dirty.cells(columns))) from error
        self._note(columns)

    def _dirty(self, error: EngineError, source: Relation, cells: list[Mistake]) -> Exception:
        """The cells that cannot be read; without such, the derived column that cannot be computed, or the error."""
        failing = None if cells else self._derived.first_failing(source)
        if failing:
            return UserError.at(f"{self._key}.columns.{failing}", explain(error))
        return UserError(*cells) if cells else error

    def _note(self, columns: Mapping[str, Column]) -> None:
        self.reading.columns[self.name] = {
            name: ColumnFacts(one.type, one.why, one.undecided, one.reading.format if one.reading else "")
            for name, one in columns.items()
        }
        for name, one in columns.items():
            if "%" in one.why:
                logger.info("table %s: '%s' is %s (%s)", self.name, name, one.type, one.why)

    def _write(self, rows: Relation, faster: Callable[[], AbstractContextManager[Relation | None]]) -> None:
        session = self.tables.session
        no_rows = rows
        if self.table.columns:
            # Expressions are checked on an empty copy, so that a file's types are worked out only once.
            session.run(f"CREATE OR REPLACE TEMP TABLE __empty AS SELECT * FROM {without_nan(rows)} LIMIT 0")
            no_rows = session.relation("__empty")
            self._derived.check(no_rows)
        types = self._derived.add(no_rows).schema
        local = tuple(name for name, type_ in types.items() if type_ in _LOCAL)
        if self.examples is not None:
            check_examples(self.examples, types, self._derived.add(without_nan(rows)), self._key)
        with faster() as other:
            count = self._copied(other, types) if other else None
        if count is None:
            count = self._copy(rows, types)
        session.run(f"CREATE OR REPLACE TEMP VIEW {quote(self.name)} AS FROM {self.tables.relation(self.name)}")
        self.reading.rows[self.name], self.reading.local[self.name] = count, local
        logger.info("table %s: %s rows", self.name, f"{count:,}")

    def _copied(self, rows: Relation, types: Mapping[str, str]) -> int | None:
        """Write rows that are read in a faster way; None where that does not work, which says nothing of them."""
        try:
            return self._copy(rows, types)
        except MachineError:
            raise
        except EngineError:
            return None

    def _copy(self, rows: Relation, types: Mapping[str, str]) -> int:
        """Write rows with the derived columns, which then have these types."""
        session = self.tables.session
        written = Relation(self._derived.add(without_nan(rows)).sql, session, types)
        if self.examples is not None and self.examples.timestamp is not None:
            zoned = {self.examples.timestamp: "TIMESTAMP WITH TIME ZONE"}
            moment = f"CAST({quote(self.examples.timestamp)} AS TIMESTAMPTZ)"
            written = written.replace({self.examples.timestamp: moment}, zoned)
        return session.write_parquet(f"SELECT * FROM {_storable(written)}", self.tables.file(self.name))


def _storable(relation: Relation) -> Relation:
    """Whole numbers beyond 64 bits, as sums are in DuckDB, in 64 bits: Parquet would have them rounded."""
    large = [name for name, type_ in relation.schema.items() if type_ in ("HUGEINT", "UHUGEINT")]
    return relation.replace({name: f"CAST({quote(name)} AS BIGINT)" for name in large}, dict.fromkeys(large, "BIGINT"))


def without_nan(relation: Relation) -> Relation:
    """Return rows with null for not-a-number, which is how other tools write a missing number."""
    numbers = {name: type_ for name, type_ in relation.schema.items() if type_ in ("DOUBLE", "FLOAT")}
    return relation.replace({name: f"nullif({quote(name)}, 'nan')" for name in numbers}, numbers)
