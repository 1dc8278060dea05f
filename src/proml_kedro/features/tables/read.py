"""Source files → one Parquet file for each table, with the columns derived from it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import (
    TYPES,
    check_expression,
    connect,
    describe,
    enclosed,
    explain,
    find,
    is_machine_trouble,
    is_moment,
    literal,
    parquet,
    quote,
)
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.csv import broken_line, column_names, csv_sql
from proml_kedro.features.tables.files import source_files, source_fingerprint, unpack
from proml_kedro.features.tables.queries import reading_order
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec, TableSpec

if TYPE_CHECKING:
    import duckdb

__all__ = ["read_tables", "source_files", "source_fingerprint"]

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
    with connect(hardware, folder) as connection:
        failed: set[str] = set()
        for name, reads in reading_order(connection, problem.tables).items():
            if failed.intersection(reads):  # what is wrong there is said; here it would be said again
                failed.add(name)
                continue
            try:
                _Reader(connection, problem, name, problem.tables[name], base_path, folder).read()
            except UserError as error:
                mistakes += error.mistakes
                failed.add(name)
    if mistakes:
        raise UserError(*mistakes)


class _Reader:
    """Reads one table."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        problem: ProblemSpec,
        name: str,
        table: TableSpec,
        base_path: Path,
        folder: Path,
    ) -> None:
        self._connection = connection
        self._problem = problem
        self._name = name
        self._table = table
        self._base_path = base_path
        self._folder = folder
        self._key = f"problem.tables.{name}"
        self._source = "__empty"

    def read(self) -> None:
        import duckdb

        self._check_type_names()
        if self._table.source is None:
            self._read_query(self._table.query or "")
            return
        files = source_files(self._name, self._table.source, self._base_path)
        target = self._folder / f".{self._name}.csv"
        unpacked = unpack(files[0], target, f"{self._key}.source") if files[0].suffix.lower() == ".zip" else None
        try:
            self._write(self._relation([unpacked] if unpacked else files))
        except duckdb.Error as error:
            if is_machine_trouble(error):
                raise
            raise UserError.at(*self._blame(error, [unpacked] if unpacked else files)) from error
        finally:
            if unpacked:
                unpacked.unlink()

    def _read_query(self, query: str) -> None:
        import duckdb

        try:
            self._write(self._typed(enclosed(query)))
        except duckdb.Error as error:
            if is_machine_trouble(error):
                raise
            raise UserError.at(*self._blame_column(error, "query")) from error

    def _check_type_names(self) -> None:
        import duckdb

        mistakes = []
        for column, type_ in self._table.types.items():
            try:
                self._connection.execute(f"SELECT CAST(NULL AS {type_})")
            except duckdb.Error:
                mistakes.append(Mistake(f"{self._key}.types.{column}", unknown("type", type_, _COMMON_TYPES)))
        if mistakes:
            raise UserError(*mistakes)

    def _relation(self, files: list[Path]) -> str:
        """The files as a table in SQL, each column with its final type."""
        if files[0].suffix.lower() == ".parquet":
            return self._typed(parquet(*files, options=", union_by_name = true"))
        self._check_typed_columns(dict.fromkeys(column_names(files[0]), "VARCHAR"))
        types = describe(self._connection, csv_sql(files[0], self._table.types, whole=True))
        return self._without_nan(csv_sql(files[0], types))

    def _typed(self, relation: str) -> str:
        self._check_typed_columns(describe(self._connection, relation))
        casts = [f"CAST({quote(name)} AS {type_}) AS {quote(name)}" for name, type_ in self._table.types.items()]
        return self._without_nan(_replace(casts, relation))

    def _without_nan(self, relation: str) -> str:
        """Not-a-number is how other tools write a missing number."""
        columns = describe(self._connection, relation)
        numbers = [quote(name) for name, type_ in columns.items() if type_ in ("DOUBLE", "FLOAT")]
        return _replace([f"nullif({name}, 'nan') AS {name}" for name in numbers], relation)

    def _check_typed_columns(self, columns: dict[str, str]) -> None:
        mistakes = [
            Mistake(f"{self._key}.types.{name}", unknown("column", name, columns))
            for name in self._table.types
            if find(name, columns) is None
        ]
        if mistakes:
            raise UserError(*mistakes)

    def _write(self, relation: str) -> None:
        # Expressions are checked on an empty copy, so that a file's types are worked out only once.
        self._source = relation
        if not self._connection.execute(f"SELECT 1 FROM {relation} LIMIT 1").fetchall():
            if self._table.source is None:
                raise UserError.at(f"{self._key}.query", "gives no rows")
            raise UserError.at(f"{self._key}.source", f"'{self._table.source}' has no rows")
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE __empty AS SELECT * FROM {relation} LIMIT 0")
        self._check_derived_columns()
        derived = self._derived(relation)
        columns = describe(self._connection, self._derived("__empty"))
        moment = self._problem.examples.timestamp
        if self._name == self._problem.examples.table:
            self._check_examples(columns, derived)
            derived = _replace([f"CAST({quote(moment)} AS TIMESTAMPTZ) AS {quote(moment)}"], derived)
        target = self._folder / f"{self._name}.parquet"
        copied = self._connection.execute(
            f"COPY (SELECT * FROM {derived}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote(self._name)} AS FROM {parquet(target)}")
        logger.info("table %s: %s rows", self._name, f"{copied[0][0]:,}")

    def _derived(self, relation: str) -> str:
        for name, expression in self._table.columns.items():
            relation = f"(SELECT *, {enclosed(expression)} AS {quote(name)} FROM {relation})"
        return relation

    def _check_derived_columns(self) -> None:
        mistakes = []
        relation = "__empty"
        for name, expression in self._table.columns.items():
            key = f"{self._key}.columns.{name}"
            if find(name, describe(self._connection, relation)) is not None:
                mistakes.append(Mistake(key, f"the file already has a column '{name}'; give this one another name"))
                continue
            _, mistake = check_expression(self._connection, relation, expression, key)
            if mistake:
                mistakes.append(mistake)
            value = "NULL" if mistake else enclosed(expression)  # so that later columns are checked too
            relation = f"(SELECT *, {value} AS {quote(name)} FROM {relation})"
        if mistakes:
            raise UserError(*mistakes)

    def _check_examples(self, columns: dict[str, str], relation: str) -> None:
        """The examples' own columns exist, and their timestamp is one."""
        examples = self._problem.examples
        mistakes = [
            Mistake(f"problem.examples.entities.{position}", unknown("column", name, columns))
            for position, name in enumerate(examples.entities)
            if find(name, columns) is None
        ]
        type_ = find(examples.timestamp, columns)
        if type_ is None:
            mistakes.append(Mistake("problem.examples.timestamp", unknown("column", examples.timestamp, columns)))
        elif not is_moment(type_):
            mistakes.append(Mistake(*self._not_a_moment(examples.timestamp, type_, relation)))
        if mistakes:
            raise UserError(*mistakes)

    def _not_a_moment(self, column: str, type_: str, relation: str) -> tuple[str, str]:
        key = f"{self._key}.types.{column}"
        if type_ != "VARCHAR":
            return "problem.examples.timestamp", (
                f"'{column}' is {type_}, not a timestamp; derive one under {self._key}.columns, "
                f"for example with to_timestamp({column})"
            )
        bad, first = self._connection.execute(
            f"SELECT count(*), min(position) FROM (SELECT {quote(column)} AS value, row_number() OVER () AS position "
            f"FROM {relation}) WHERE value IS NOT NULL AND TRY_CAST(value AS TIMESTAMPTZ) IS NULL"
        ).fetchall()[0]
        if bad:
            return key, f"'{column}' is not a timestamp: {bad:,} values cannot be read as one, the first in row {first}"
        return key, f"'{column}' is text; write types: {{{column}: TIMESTAMPTZ}}"

    def _blame(self, error: duckdb.Error, files: list[Path]) -> tuple[str, str]:
        """Key and message of what DuckDB found only while it read."""
        text = str(error)
        line, column = re.search(r"on Line: (\d+)", text), re.search(r'when converting column "(.+?)"', text)
        if line and column:
            type_ = re.search(r"to '([A-Z ]+)'", text)
            return (
                f"{self._key}.types.{column[1]}",
                f"line {line[1]}: the value of '{column[1]}' is no {type_[1] if type_ else 'such type'}",
            )
        if files[0].suffix.lower() == ".parquet":
            broken = next((f"'{one.name}' is no whole Parquet file" for one in files if not self._is_whole(one)), None)
        else:
            broken = broken_line(self._connection, files[0]) if "CSV" in text else None
        return (f"{self._key}.source", broken) if broken else self._blame_column(error, "source")

    def _blame_column(self, error: duckdb.Error, origin: str) -> tuple[str, str]:
        failed = next((name for name in self._table.columns if self._fails(name)), None)
        return f"{self._key}.columns.{failed}" if failed else f"{self._key}.{origin}", explain(error)

    def _is_whole(self, file: Path) -> bool:
        import duckdb

        try:
            self._connection.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {parquet(file)}").fetchall()
        except duckdb.Error:
            return False
        return True

    def _fails(self, column: str) -> bool:
        """Whether computing a derived column, and those it is derived from, fails."""
        import duckdb

        try:
            self._connection.execute(f"SELECT count({quote(column)}) FROM {self._derived(self._source)}").fetchall()
        except duckdb.Error:
            return True
        return False


def _replace(columns: list[str], relation: str) -> str:
    """A table with some of its columns computed anew, each given as ``expression AS name``."""
    return f"(SELECT * REPLACE ({', '.join(columns)}) FROM {relation})" if columns else relation
