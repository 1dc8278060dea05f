"""PostgreSQL: a table or view of a server, read through ADBC in binary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import field_validator

from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import RetriableError, UserError, did_you_mean, first_line, masked
from proml_kedro.features.tables.readers.base import Source, TableReader

if TYPE_CHECKING:
    import adbc_driver_manager.dbapi as adbc
    import pyarrow as pa

_PRECISION = re.compile(r"numeric\((\d+),(\d+)\)")
_MOST_DIGITS = 38
"""Of DECIMAL."""

_SCHEMES = ("postgresql://", "postgres://")
_AS_THEY_ARE = {"int2", "int4", "int8", "float4", "float8", "bool", "text", "varchar", "bytea"}
_ENDLESS = {"date", "timestamp", "timestamptz"}
"""Types with ``infinity``, which no other type of a moment has: it would wrap around."""
_LISTS = {f"_{one}" for one in ("int2", "int4", "int8", "float4", "float8", "text", "varchar")}
_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "extra_float_digits": "3"}
"""How the server writes as text, whatever is set for the user."""


class PostgreSQLReader(TableReader):
    """A table or view of a PostgreSQL server: ``source: postgresql://user@host:5432/database``.

    The password comes from the variable ``PGPASSWORD`` or from ``~/.pgpass``, as for all programs of PostgreSQL. All
    rows are read from one state of the table, in the order of its primary key, if it has one. Needs the extra
    ``proml-kedro[postgresql]``.

    Numbers of any precision (``numeric``) keep it: with up to 38 digits as DECIMAL, without a declared precision as
    DOUBLE where that loses nothing, otherwise as text. Types that are not known here are the server's text.

    Attributes:
        table: The table or view, such as ``orders`` or ``sales.orders``.
    """

    reads_files: ClassVar[bool] = False

    table: str

    @classmethod
    def claims(cls, source: str) -> bool:
        """Return whether a source is a URL of PostgreSQL."""
        return source.startswith(_SCHEMES)

    @field_validator("table")
    @classmethod
    def _named(cls, value: str) -> str:
        if not all(value.split(".")) or value.count(".") > 1:
            raise ValueError(f"'{value}' is no name of a table; write for example orders, or sales.orders")
        return value

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give a Parquet copy of the table.

        Raises:
            UserError: The server refuses, there is no such table, or it holds infinite moments.
            RetriableError: The server is not reached.
        """
        import pyarrow.parquet as pq

        copy = folder / f".{source.name}.postgresql.parquet"
        try:
            with _connected(source) as connection:
                table = _Table(connection, self.table, source)
                wanted = self.selected([one.name for one in table.columns])
                table.columns = [one for one in table.columns if one.name in wanted]
                with connection.cursor() as cursor:
                    cursor.execute(table.query())
                    rows = cursor.fetch_record_batch()
                    schema = rows.schema.with_metadata({_NUMBERS: json.dumps(table.numbers())})
                    with pq.ParquetWriter(copy, schema) as writer:
                        for batch in rows:
                            writer.write_batch(batch)
            yield [copy]
        finally:
            copy.unlink(missing_ok=True)

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of the copy, with the numbers that came as text read."""
        import pyarrow.parquet as pq

        rows = session.parquet(*files)
        numbers = json.loads((pq.read_schema(files[0]).metadata or {})[_NUMBERS])
        changes = [
            f"CAST(nullif({quote(name)}, 'NaN') AS {type_}) AS {quote(name)}"
            for name, declared in numbers.items()
            if (type_ := declared or _undeclared(name, rows))
        ]
        return rows.select(f"* REPLACE ({', '.join(changes)})") if changes else rows

    def fingerprint(self, source: Source) -> str:
        """Return a digest of all rows, which the server computes; their order does not count."""
        with _connected(source) as connection:
            table = _Table(connection, self.table, source)
            text = f"one::text || {literal(' '.join(f'{one.name} {one.whole_type}' for one in table.columns))}"
            sums = ", ".join(f"sum(hashtextextended({text}, {seed})::numeric)" for seed in (0, 1))
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT (count(*), {sums})::text FROM {table.name} AS one")
                (digest,) = cursor.fetchone() or ("",)
        return str(digest)

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write the rows to the server that ``PROML_KEDRO_TEST_POSTGRESQL`` names, in a table of the folder's name."""
        import os

        from adbc_driver_postgresql import dbapi

        url = os.environ["PROML_KEDRO_TEST_POSTGRESQL"]
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(f"rows of {folder.name}", rows, mode="create")
            connection.commit()
        return {"source": url, "table": f"rows of {folder.name}"}


_NUMBERS = b"proml_kedro.numbers"
"""Metadata of a copy: its columns of numbers that came as text, with the SQL type where one is declared."""

_DIGITS = 15
"""Significant digits that double precision always holds."""


def _undeclared(name: str, rows: Relation) -> str | None:
    """Return the type of numbers whose precision is not declared; None when they have to stay text."""
    number = "regexp_replace(regexp_replace(one, '(\\..*?)0*$', '\\1'), '[-.]', '', 'g')"
    long = f"regexp_full_match(one, '-?[0-9.]+') AND length(ltrim({number}, '0')) > {_DIGITS}"
    (count,) = rows.engine.row(f"SELECT count(*) FROM (SELECT {quote(name)} AS one FROM {rows}) WHERE {long}")
    return None if count else "DOUBLE"


def _decimal(declared: str) -> str | None:
    """Return the SQL type of a declared precision, such as ``numeric(10,2)``; None when there is none like it."""
    found = _PRECISION.fullmatch(declared)
    if found is None or int(found[1]) > _MOST_DIGITS or int(found[2]) > int(found[1]):
        return None
    return f"DECIMAL({found[1]},{found[2]})"


class _Column(NamedTuple):
    """A column of the server: its name, the name of its type, and the type with its precision."""

    name: str
    type: str
    whole_type: str

    @property
    def expression(self) -> str:
        """What is selected: what Arrow has a type for as it is, money as the number it is, all else as text."""
        name = quote(self.name)
        if self.type in _AS_THEY_ARE | _ENDLESS | _LISTS:
            return name
        if self.type == "numeric":
            return f"{name}::text AS {name}"
        return f"{name}::numeric::text AS {name}" if self.type == "money" else f"{name}::text AS {name}"


class _Table:
    """A table of the server.

    Raises:
        UserError: There is none of this name.
    """

    def __init__(self, connection: adbc.Connection, name: str, source: Source) -> None:
        self._connection, self._source, self._given = connection, source, name
        schema, _, table = name.rpartition(".")
        self.name = ".".join(quote(one) for one in ((schema, table) if schema else (table,)))
        found = self._rows(f"SELECT to_regclass({literal(self.name)})::oid::bigint")[0][0]
        if found is None:
            raise self._unknown()
        self._oid = int(found)
        self.columns = [
            _Column(*map(str, row))
            for row in self._rows(
                "SELECT attname, typname, format_type(atttypid, atttypmod) FROM pg_attribute "
                "JOIN pg_type ON pg_type.oid = atttypid "
                f"WHERE attrelid = {self._oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            )
        ]

    def query(self) -> str:
        """Return the query for all rows.

        Raises:
            UserError: A moment is infinite.
        """
        self._refuse_endless()
        columns = ", ".join(one.expression for one in self.columns)
        return f"SELECT {columns} FROM {self.name} AS one{self._order()}"

    def numbers(self) -> dict[str, str | None]:
        """Return the columns of numbers that come as text, with the SQL type of those whose precision is declared."""
        return {one.name: _decimal(one.whole_type) for one in self.columns if one.type in ("numeric", "money")}

    def _refuse_endless(self) -> None:
        endless = [one.name for one in self.columns if one.type in _ENDLESS]
        if not endless:
            return
        counts = ", ".join(f"count(*) FILTER (WHERE NOT isfinite({quote(one)}))" for one in endless)
        found = self._rows(f"SELECT {counts} FROM {self.name}")[0]
        for name, count in zip(endless, found, strict=True):
            if count:
                message = f"'{name}' is infinite in {count:,} rows, which is no moment"
                remedy = f"name a view that has null there: nullif({quote(name)}, 'infinity')"
                raise UserError.at(f"{self._source.key}.table", f"{message}; {remedy}")

    def _order(self) -> str:
        keys = self._rows(
            "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey) "
            f"WHERE indrelid = {self._oid} AND indisprimary ORDER BY array_position(indkey::int2[], attnum)"
        )
        return f" ORDER BY {', '.join(quote(str(one)) for (one,) in keys)}" if keys else ""

    def _unknown(self) -> UserError:
        query = (
            "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN relname ELSE nspname || '.' || relname END "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND nspname NOT IN ('pg_catalog', 'information_schema')"
        )
        known = [str(one) for (one,) in self._rows(query)]
        message = f"no table '{self._given}' that this user sees.{did_you_mean(self._given, known)}"
        return UserError.at(f"{self._source.key}.table", message)

    def _rows(self, query: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@contextmanager
def _connected(source: Source) -> Iterator[adbc.Connection]:
    """Open a transaction that sees one state."""
    from pyarrow import ArrowException

    try:
        from adbc_driver_manager import dbapi as manager
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        message = "reading from PostgreSQL needs a package: pip install 'proml-kedro[postgresql]'"
        raise UserError.at(f"{source.key}.source", message) from error
    try:
        with dbapi.connect(source.text) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for name, value in _SETTINGS.items():
                    cursor.execute(f"SET {name} = {literal(value)}")
            yield connection
            connection.rollback()
    except (manager.Error, ArrowException) as error:  # the latter while rows are read
        raise _explained(error, source) from error


def _explained(error: Any, source: Source) -> UserError:
    """Say in one line what a server or the way to it refuses."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = first_line(error).partition("ERROR:  ")[2] or " ".join(str(error).split()).removeprefix("IO: ")
    message = masked(f"{text.partition('Is the server running')[0].strip()}")
    passes = state[:2] in ("08", "53", "57", "40") or any(
        one in message for one in ("Connection refused", "timeout", "timed out", "starting up", "closed the connection")
    )
    if "no password supplied" in message:
        message += "; set the variable PGPASSWORD"
    return (RetriableError if passes else UserError).at(f"{source.key}.source", message)
