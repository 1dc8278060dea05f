"""A table that is not read yet: its SQL, the engine that can run it, and its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proml_kedro.engine.allowed import NotAllowedError, check_expression
from proml_kedro.engine.duckdb import enclosed, explain, find, is_number, quote, reserved_columns
from proml_kedro.engine.errors import EngineError
from proml_kedro.errors import Mistake

if TYPE_CHECKING:
    import pyarrow as pa


class Engine(Protocol):
    """What a relation needs of the engine that reads it; :class:`proml_kedro.engine.session.Session` is one."""

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        ...

    def row(self, query: str) -> tuple[Any, ...]:
        """Run a query and return its first row."""
        ...

    def records(self, query: str) -> list[dict[str, Any]]:
        """Run a query and return its rows as dicts by column."""
        ...

    def arrow(self, query: str) -> pa.Table:
        """Run a query and return its result as an Arrow table."""
        ...

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its result in record batches."""
        ...

    def write_parquet(self, query: str, file: Path) -> int:
        """Run a query, write its result to a Parquet file and return the number of rows."""
        ...

    def register(self, name: str, table: Any) -> None:
        """Give a name to an Arrow table, which is read in place."""
        ...

    def columns(self, query: str) -> dict[str, str]:
        """Return names and SQL types of a query's columns. No row is read."""
        ...


@dataclass(frozen=True)
class Relation:
    """Rows that an engine can read. ``str()`` of it stands after FROM in a query.

    Attributes:
        sql: The same text.
        engine: What can read it.
        known: Its schema where that need not be asked for.
    """

    sql: str
    engine: Engine = field(repr=False, compare=False)
    known: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.sql

    @cached_property
    def schema(self) -> dict[str, str]:
        """Names and SQL types of the columns. No row is read."""
        return dict(self.known) if self.known is not None else self.engine.columns(f"SELECT * FROM {self.sql}")

    @cached_property
    def _plain(self) -> dict[str, str]:
        """The SQL type of each expression that is nothing but a column."""
        return {quote(name): type_ for name, type_ in self.schema.items()}

    def type_of(self, column: str) -> str | None:
        """Return the SQL type of a column, whose case does not matter. None when there is none of that name."""
        return find(column, self.schema)

    def has_rows(self) -> bool:
        """Return whether there is a row; no more than one is read."""
        return bool(self.engine.rows(f"SELECT 1 FROM {self.sql} LIMIT 1"))

    def select(self, columns: str, where: str = "") -> Relation:
        """Return a relation of expressions over this one.

        Args:
            columns: What stands after SELECT.
            where: A condition; all rows when left out.
        """
        condition = f" WHERE {where}" if where else ""
        return Relation(f"(SELECT {columns} FROM {self.sql}{condition})", self.engine)

    def replace(self, values: Mapping[str, str], types: Mapping[str, str] | None = None) -> Relation:
        """Return a relation in which columns have other values.

        Columns are listed one by one: the engine's ``* REPLACE`` takes time with the square of their number.

        Args:
            values: Column, whose case does not matter → its value, in SQL.
            types: SQL types of these values; asked for when left out.
        """
        if not values:
            return self
        if types is None:
            changed = ", ".join(f"{value} AS {quote(name)}" for name, value in values.items())
            types = self.engine.columns(f"SELECT {changed} FROM {self.sql}")
        new = {name.lower(): (value, types[name]) for name, value in values.items()}
        columns = {name: new.get(name.lower(), (quote(name), type_)) for name, type_ in self.schema.items()}
        listed = ", ".join(f"{value} AS {quote(name)}" for name, (value, _) in columns.items())
        known = {name: type_ for name, (_, type_) in columns.items()}
        return Relation(f"(SELECT {listed} FROM {self.sql})", self.engine, known)

    def check_whole(self, expression: str, type_: str, key: str) -> Mistake | None:
        """Return what is wrong where an expression that is to be whole numbers has other values. All rows are read.

        Args:
            expression: The expression.
            type_: Its SQL type.
            key: Where it stands in the configuration.

        Raises:
            EngineError: It cannot be computed.
        """
        if not type_.startswith(("DOUBLE", "FLOAT", "DECIMAL", "VARCHAR")):
            return None
        number = "TRY_CAST(value AS DOUBLE)"
        # Not-a-number counts as missing. Text has to be digits: DuckDB takes 0x1A and 1_000 too, and rounds 3.7.
        text = "NOT regexp_full_match(value, ' *[+-]?[0-9]+([.]0*)? *')"
        wrong = text if type_ == "VARCHAR" else f"NOT isnan({number}) AND {number} IS DISTINCT FROM trunc({number})"
        values, bad = self.engine.row(
            f"SELECT count(value), count(*) FILTER (value IS NOT NULL AND {wrong}) "
            f"FROM (SELECT {enclosed(expression)} AS value FROM {self.sql})"
        )
        if not bad:
            return None
        message = f"cannot be computed as BIGINT: {bad:,} of {values:,} values are no whole numbers, "
        return Mistake(key, message + "and are never rounded; declare a float, or round them")

    def check_truth(self, expression: str, type_: str, key: str) -> Mistake | None:
        """Return what is wrong where numbers that are to be truth values are other than 0 and 1. All rows are read.

        Args:
            expression: The expression.
            type_: Its SQL type.
            key: Where it stands in the configuration.

        Raises:
            EngineError: It cannot be computed.
        """
        if not is_number(type_):
            return None
        values, bad = self.engine.row(
            f"SELECT count(value), count(*) FILTER (value NOT IN (0, 1) AND NOT isnan(CAST(value AS DOUBLE))) "
            f"FROM (SELECT {enclosed(expression)} AS value FROM {self.sql})"
        )
        if not bad:
            return None
        message = (
            f"cannot be computed as BOOLEAN: {bad:,} of {values:,} values are neither 0 nor 1; compare them, as > 0"
        )
        return Mistake(key, message)

    def check_expression(self, expression: str, key: str) -> tuple[str | None, Mistake | None]:
        """Return the SQL type of an expression over the columns, or what is wrong with it. No row is read.

        Args:
            expression: The expression.
            key: Where it stands in the configuration.
        """
        if expression in self._plain:  # one query for each of many columns would take time with their square
            return self._plain[expression], None
        query = f"SELECT {enclosed(expression)} AS value FROM {self.sql}"
        try:
            check_expression(self.engine, expression)
            return self.engine.columns(query)["value"], None
        except NotAllowedError as error:
            return None, Mistake(key, str(error))
        except EngineError as error:
            words = [quote(one) for one in reserved_columns(expression, self.schema)]
            is_taken = bool(words) and "syntax error" in str(error)
            hint = f"; a word of SQL as the name of a column needs quotes: {', '.join(words)}" if is_taken else ""
            return None, Mistake(key, f"{explain(error, self.schema)}{hint}")
