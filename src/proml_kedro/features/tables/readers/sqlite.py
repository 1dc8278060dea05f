"""SQLite: a table or view of a database file, read by Python's own library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import RetriableError, UserError, unknown
from proml_kedro.features.tables.files import fingerprint_of
from proml_kedro.features.tables.readers.base import Source, TableReader

if TYPE_CHECKING:
    import pyarrow as pa

_BUSY_SECONDS = 30.0
"""How long a write of another program is waited for."""

_ROWS = 50_000
"""Rows of a batch."""

_COLUMNS = 300
"""Columns whose types one query looks at; a result of SQLite has at most 2,000."""

_EXACT = 1 << 53
"""Beyond it double precision does not hold every whole number."""

_KINDS = ("integer", "real", "text", "blob")


class SQLiteReader(TableReader):
    """A table or view of a SQLite database, as it is when reading begins.

    Columns have the type of their cells, not the declared one, which SQLite does not enforce: whole numbers, numbers,
    text or bytes. Whole numbers beside others become numbers, unless double precision does not hold one of them; then,
    and where text stands beside numbers, a column is text.

    Attributes:
        table: The table or view; may be left out where the database has one.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".sqlite", ".sqlite3", ".db")

    table: str | None = None

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give a Parquet copy of the table.

        Raises:
            UserError: The file is no database, has no such table, or a column that holds bytes beside other cells.
        """
        import pyarrow.parquet as pq

        file, copy = source.files()[0], folder / f".{source.name}.sqlite.parquet"
        try:
            with closing(_open(file)) as connection:
                connection.execute("BEGIN")  # types and rows of one state
                table = _Table(connection, self._chosen(connection, source))
                schema = table.schema(source)
                with pq.ParquetWriter(copy, schema) as writer:
                    for batch in table.batches(schema):
                        writer.write_batch(batch)
            yield [copy]
        except sqlite3.Error as error:
            raise _explained(error, file, source) from error
        finally:
            copy.unlink(missing_ok=True)

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of the copy."""
        return session.parquet(*files)

    def fingerprint(self, source: Source) -> str:
        """Return a digest of the file, with its write-ahead log."""
        (file,) = source.files()
        log = file.with_name(f"{file.name}-wal")
        return fingerprint_of([file, log] if log.is_file() and log.stat().st_size else [file])

    def _chosen(self, connection: sqlite3.Connection, source: Source) -> str:
        query = (
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        names = {str(name).lower(): str(name) for (name,) in connection.execute(query)}
        if self.table is None:
            if len(names) == 1:
                return next(iter(names.values()))
            held = ", ".join(sorted(names.values())) or "none"
            message = f"'{source.text}' holds {len(names)} tables and views, so name one with table: {held}"
            raise UserError.at(f"{source.key}.table", message)
        if self.table.lower() not in names:
            raise UserError.at(f"{source.key}.table", unknown("table", self.table, names.values()))
        return names[self.table.lower()]

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a database with two tables."""
        with closing(sqlite3.connect(folder / "rows.sqlite")) as connection, connection:
            connection.execute("CREATE TABLE other (one)")
            connection.execute(f"CREATE TABLE rows ({', '.join(quote(name) for name in rows.column_names)})")
            marks = ", ".join("?" * rows.num_columns)
            connection.executemany(f"INSERT INTO rows VALUES ({marks})", zip(*rows.to_pydict().values(), strict=True))
        return {"source": "rows.sqlite", "table": "rows"}


class _Cells(NamedTuple):
    """What a column holds: how many cells of each kind, and whether all whole numbers are exact as doubles."""

    kinds: frozenset[str]
    is_exact: bool


class _Table:
    """A table within a transaction."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self.columns = [str(one[0]) for one in connection.execute(f"SELECT * FROM {quote(name)} LIMIT 0").description]

    def schema(self, source: Source) -> pa.Schema:
        """Return the type of each column, by all of its cells."""
        import pyarrow as pa

        known = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "binary": pa.binary()}
        fields = []
        for name, cells in self._cells():
            type_ = _type_of(cells)
            if type_ is None:
                message = f"'{name}' of '{self._name}' holds bytes in some rows and other values in others"
                raise UserError.at(f"{source.key}.source", f"{message}; name a view that casts it")
            fields.append(pa.field(name, known[type_]))
        return pa.schema(fields)

    def _cells(self) -> Iterator[tuple[str, _Cells]]:
        for start in range(0, len(self.columns), _COLUMNS):
            names = self.columns[start : start + _COLUMNS]
            asked = []
            for one in map(quote, names):
                asked += [f"max(typeof({one}) = '{kind}')" for kind in _KINDS]
                asked.append(f"max(typeof({one}) = 'integer' AND {one} NOT BETWEEN -{_EXACT} AND {_EXACT})")
            found = self._connection.execute(f"SELECT {', '.join(asked)} FROM {quote(self._name)}").fetchone()
            size = len(_KINDS) + 1
            for number, name in enumerate(names):
                *kinds, inexact = found[number * size : (number + 1) * size]
                yield name, _Cells(frozenset(kind for kind, one in zip(_KINDS, kinds, strict=True) if one), not inexact)

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in the order of the table."""
        import pyarrow as pa

        texts = [number for number, field in enumerate(schema) if field.type == pa.string()]
        cursor = self._connection.execute(f"SELECT * FROM {quote(self._name)}{self._order()}")
        while rows := cursor.fetchmany(_ROWS):
            columns = [list(column) for column in zip(*rows, strict=True)]
            for number in texts:
                columns[number] = [None if one is None else _text(one) for one in columns[number]]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)

    def _order(self) -> str:
        # An index that holds all columns would give its own order; views and tables without rowid have none to ask for.
        try:
            self._connection.execute(f"SELECT rowid FROM {quote(self._name)} WHERE 0")
        except sqlite3.OperationalError:
            return ""
        return " ORDER BY rowid" if "rowid" not in map(str.lower, self.columns) else ""


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


def _type_of(cells: _Cells) -> str | None:
    """Return the type of a column; None where no type holds all of its cells."""
    if "blob" in cells.kinds:
        return "binary" if cells.kinds == {"blob"} else None
    if cells.kinds == {"integer"}:
        return "int64"
    if cells.kinds in ({"real"}, {"integer", "real"}) and cells.is_exact:
        return "float64"
    return "string"


def _text(value: object) -> str:
    """Return a cell as text; a number as the shortest text that reads back to it."""
    return value if isinstance(value, str) else repr(value)


def _explained(error: sqlite3.Error, file: Path, source: Source) -> UserError:
    key, code = f"{source.key}.source", getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RetriableError.at(key, f"another program writes to '{file.name}'; try again")
    if code == sqlite3.SQLITE_NOTADB:
        return UserError.at(key, f"'{file.name}' is no SQLite database, or an encrypted one")
    if code == sqlite3.SQLITE_CORRUPT:
        return UserError.at(key, f"'{file.name}' is damaged: {error}")
    if "decode to UTF-8" in str(error):
        return UserError.at(key, f"'{file.name}': {str(error).partition(' with text')[0]}; it is not UTF-8")
    return UserError.at(key, f"'{file.name}': {error}")
