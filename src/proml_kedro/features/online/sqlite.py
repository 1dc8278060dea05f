"""An online store in a SQLite file."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from proml_kedro.atomic import lock_beside, temporary_beside
from proml_kedro.features.online.store import (
    DIGESTS,
    Layout,
    NewRow,
    NewRows,
    NotStoredError,
    OnlineStore,
    StoredRow,
    Watermark,
    row_digest,
    to_json,
    to_microseconds,
    to_moment,
)
from proml_kedro.locks import take

_BUSY_SECONDS = 30.0
"""How long a connection waits for another one's write."""

_FORMAT = 4
"""Of the file; one of another format is emptied, since feature tables can fill it again."""

_KEYS_PER_QUERY = 30_000
"""SQLite takes 32,766 parameters."""

_TABLES = """
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, layout TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS views (project TEXT, view TEXT, keys TEXT, rows INTEGER NOT NULL DEFAULT 0,
    digest INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (project, view)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (project TEXT, view TEXT, until INTEGER, history TEXT, PRIMARY KEY (project, view))
    WITHOUT ROWID;
"""


class SQLiteStore(OnlineStore):
    """Store in a file, with a connection for each thread, since one must not read within another's write.

    Args:
        file: The database; made with the first write.
        project: The problem's name.
    """

    def __init__(self, file: Path, project: str) -> None:
        self._file = file
        self._project = project
        self._local = threading.local()
        self._layouts: dict[int, Layout] = {}

    def exists(self) -> bool:
        """Return whether the file exists; each problem has its own."""
        return self._file.is_file()

    def add_view(self, view: str, keys: Mapping[str, str]) -> None:
        """Make the view's table unless it exists."""
        with self._writing() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table(view)} (entity BLOB PRIMARY KEY, moment INTEGER NOT NULL, "
                "created INTEGER NOT NULL, layout INTEGER NOT NULL, content TEXT NOT NULL) WITHOUT ROWID"
            )
            known = "ON CONFLICT DO UPDATE SET keys = excluded.keys"
            row = (self._project, view, to_json(dict(keys)))
            connection.execute(f"INSERT INTO views (project, view, keys) VALUES (?, ?, ?) {known}", row)

    def key_types(self, view: str) -> dict[str, str]:
        """Return the view's entity columns."""
        query = "SELECT keys FROM views WHERE (project, view) = (?, ?)"
        with self._missing(view):
            row = self._reading().execute(query, [self._project, view]).fetchone()
        if row is None:
            raise NotStoredError(view)
        types: dict[str, str] = json.loads(row[0])
        return types

    def write(self, view: str, layout: Layout, rows: Sequence[NewRow]) -> None:
        """Write rows in one transaction, and add them to the view's digest."""
        with self._writing() as connection:
            self._write(connection, view, layout, rows)

    def _write(self, connection: sqlite3.Connection, view: str, layout: Layout, rows: Sequence[NewRow]) -> None:
        number, kinds = _layout_id(connection, layout), to_json(layout)
        there = self._there(connection, view, [one[0] for one in rows])
        added = digest = 0
        new: dict[bytes, tuple[bytes, int, int, int, str]] = {}
        for key, moment, created, values in rows:
            before = there.get(key)
            if before is None or (moment, created) >= before[:2]:
                content = to_json(values)
                after = moment, created, _digest(key, moment, kinds, content)
                added += before is None
                digest += after[2] - (before[2] if before else 0)
                there[key], new[key] = after, (key, moment, created, number, content)
        connection.executemany(f"INSERT OR REPLACE INTO {self._table(view)} VALUES (?, ?, ?, ?, ?)", new.values())
        self._note(connection, view, added, digest)

    def replace(self, view: str, until: datetime, rows: Iterable[NewRows], mark: Watermark) -> None:
        """Replace rows in one transaction: whoever reads finds all as it was before, or as it is after."""
        with self._writing() as connection:
            self._delete_until(connection, view, to_microseconds(until))
            for layout, part in rows:
                self._write(connection, view, layout, part)
            self._mark(connection, view, mark)
        self._reading().execute("PRAGMA wal_checkpoint(truncate)")

    def rows(self, view: str) -> Iterator[tuple[Layout, list[NewRow]]]:
        """Yield all rows of a view, as :meth:`replace` takes them; nothing of a view that is unknown."""
        connection = self._current()
        if connection is None:
            return
        known = connection.execute("SELECT 1 FROM views WHERE (project, view) = (?, ?)", [self._project, view])
        if known.fetchone() is None:
            return
        for number, layout in connection.execute("SELECT id, layout FROM layouts").fetchall():
            names: Layout = tuple((name, kind) for name, kind in json.loads(layout))
            columns = f"SELECT entity, moment, created, content FROM {self._table(view)}"
            found = connection.execute(f"{columns} WHERE layout = ?", [number])
            while part := found.fetchmany(_KEYS_PER_QUERY):
                yield names, [(key, moment, created, json.loads(content)) for key, moment, created, content in part]

    def read(self, view: str, keys: Sequence[bytes]) -> dict[bytes, StoredRow]:
        """Read rows, up to 30,000 by one query."""
        found: dict[bytes, StoredRow] = {}
        different = list(dict.fromkeys(keys))
        with self._missing(view):
            connection = self._reading()
            for start in range(0, len(different), _KEYS_PER_QUERY):
                part = different[start : start + _KEYS_PER_QUERY]
                columns = f"SELECT entity, moment, layout, content FROM {self._table(view)}"
                query = f"{columns} WHERE entity IN ({', '.join('?' * len(part))})"
                for key, moment, number, content in connection.execute(query, part):
                    found[key] = moment, self._layout(connection, number), _values(content)
        return found

    def is_as_written(self, view: str) -> bool:
        """Compare the number and the digest of the rows with those that were noted when they were written."""
        query = "SELECT rows, digest FROM views WHERE (project, view) = (?, ?)"
        try:
            connection = self._reading()
            with connection:
                connection.execute("BEGIN")  # one state of both
                noted = connection.execute(query, [self._project, view]).fetchone()
                return bool(noted == self._count(connection, view, ""))
        except (sqlite3.DatabaseError, NotStoredError):
            return False

    def state(self, view: str) -> str:
        """Return the number and the digest of the rows that were noted."""
        query = "SELECT rows, digest FROM views WHERE (project, view) = (?, ?)"
        connection = self._current()
        noted = connection.execute(query, [self._project, view]).fetchone() if connection else None
        return f"{noted[0]} {noted[1]}" if noted else ""

    def discard_damaged(self) -> bool:
        """Put an empty database in the place of one that SQLite finds damaged anywhere."""
        try:
            connection = self._current()
            if connection is None or connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                return False
        except sqlite3.DatabaseError as error:
            if not _is_damaged(error):
                raise
        _write_empty(self._file)
        return True

    def drop_view(self, view: str) -> None:
        """Remove the view's table, its keys and its watermark."""
        with self._writing() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {self._table(view)}")
            for table in ("views", "ledger"):
                connection.execute(f"DELETE FROM {table} WHERE (project, view) = (?, ?)", [self._project, view])

    def delete_until(self, view: str, until: datetime) -> int:
        """Delete rows up to a moment."""
        with self._writing() as connection:
            return self._delete_until(connection, view, to_microseconds(until))

    def _delete_until(self, connection: sqlite3.Connection, view: str, limit: int) -> int:
        rows, digest = self._count(connection, view, f"WHERE moment <= {limit}")
        self._note(connection, view, -rows, -digest)
        return connection.execute(f"DELETE FROM {self._table(view)} WHERE moment <= ?", [limit]).rowcount

    def watermarks(self) -> dict[str, Watermark]:
        """Return the watermarks, in the order of the views' names. Nothing is complete in a damaged file."""
        query = "SELECT view, until, history FROM ledger WHERE project = ? ORDER BY view"
        try:
            connection = self._current()  # of another format there is none: whatever is written begins anew
            rows = connection.execute(query, [self._project]).fetchall() if connection else []
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error) and not _is_damaged(error):
                raise
            return {}
        return {view: Watermark(to_moment(until), digest) for view, until, digest in rows}

    def set_watermark(self, view: str, until: datetime, history: str) -> None:
        """Mark a view as complete, and move the write-ahead log into the file."""
        with self._writing() as connection:
            self._mark(connection, view, Watermark(until, history))
        self._reading().execute("PRAGMA wal_checkpoint(truncate)")  # so that a copy of the file holds everything

    def _mark(self, connection: sqlite3.Connection, view: str, mark: Watermark) -> None:
        row = (self._project, view, to_microseconds(mark.until), mark.history)
        connection.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", row)

    def clear_watermark(self, view: str) -> None:
        """Mark a view as incomplete."""
        with self._writing() as connection:
            connection.execute("DELETE FROM ledger WHERE (project, view) = (?, ?)", [self._project, view])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open one transaction. The file and its tables are made if they do not exist."""
        connection = self._current() or self._begin()
        self._check_right(os.W_OK)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def _current(self) -> sqlite3.Connection | None:
        """Return this thread's connection; None where there is no database of this format."""
        try:
            connection = self._reading()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except NotStoredError:
            return None
        except sqlite3.DatabaseError as error:
            if not _is_damaged(error):
                raise
            return None
        return connection if version == _FORMAT else None

    def _begin(self) -> sqlite3.Connection:
        """Make the database, unless another process is faster, and return this thread's connection."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        lock = take(lock_beside(self._file), lambda: None)
        try:
            if self._current() is None:
                _write_empty(self._file)
        finally:
            if lock:
                lock.release()
        return self._reading()

    def _there(
        self, connection: sqlite3.Connection, view: str, keys: Sequence[bytes]
    ) -> dict[bytes, tuple[int, int, int]]:
        """Return the moments and the digest of the rows that some keys have."""
        found: dict[bytes, tuple[int, int, int]] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            part = keys[start : start + _KEYS_PER_QUERY]
            rows = self._rows(connection, view, f"WHERE entity IN ({', '.join('?' * len(part))})", part)
            found |= {key: (moment, made, _digest(key, moment, *what)) for key, moment, made, *what in rows}
        return found

    def _rows(
        self, connection: sqlite3.Connection, view: str, where: str, values: Sequence[bytes] = ()
    ) -> Iterator[tuple[bytes, int, int, str, str]]:
        """Yield rows: key, moments at which they became known and were made, names of values, values."""
        kinds = dict(connection.execute("SELECT id, layout FROM layouts"))
        query = f"SELECT entity, moment, created, layout, content FROM {self._table(view)} {where}"
        for key, moment, created, number, content in connection.execute(query, values):
            yield key, moment, created, kinds.get(number, ""), content

    def _count(self, connection: sqlite3.Connection, view: str, where: str) -> tuple[int, int]:
        """Return the number of some rows, and the sum of their digests."""
        rows = total = 0
        for key, moment, _, kinds, content in self._rows(connection, view, where):
            rows, total = rows + 1, total + _digest(key, moment, kinds, content)
        return rows, total % DIGESTS

    def _note(self, connection: sqlite3.Connection, view: str, rows: int, digest: int) -> None:
        """Add to the number of rows and to the digest that are noted of a view."""
        connection.execute(
            f"UPDATE views SET rows = rows + ?, digest = (digest + ?) % {DIGESTS} WHERE (project, view) = (?, ?)",
            [rows, digest % DIGESTS, self._project, view],
        )

    def _reading(self) -> sqlite3.Connection:
        """Return this thread's connection, opened anew when the file was replaced."""
        try:
            state = self._file.stat().st_ino
        except FileNotFoundError as error:
            raise NotStoredError(str(self._file)) from error
        opened: tuple[sqlite3.Connection, int] | None = getattr(self._local, "opened", None)
        if opened is None or opened[1] != state:
            connection = self._connect()
            connection.execute("PRAGMA synchronous = normal")
            opened = self._local.opened = connection, state
            self._layouts = {}
        return opened[0]

    def _check_right(self, right: int) -> None:
        """Check that the file can be opened: SQLite names neither it nor the reason.

        Raises:
            OSError: It cannot.
        """
        if self._file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._file))
        # Not by opening it: to close a file again would let go of all locks that SQLite has on it.
        effective = os.access in os.supports_effective_ids
        if self._file.exists() and not os.access(self._file, right, effective_ids=effective):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._file))

    def _connect(self) -> sqlite3.Connection:
        """Open the file; in a folder that cannot be written to, which SQLite would write to, as one that stays."""
        self._check_right(os.R_OK)
        log = self._file.with_name(f"{self._file.name}-wal")
        if os.access(self._file.parent, os.W_OK) or log.exists():
            return sqlite3.connect(self._file, timeout=_BUSY_SECONDS, check_same_thread=False)
        return sqlite3.connect(f"{self._file.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False)

    @contextmanager
    def _missing(self, view: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise NotStoredError(view) from error

    def _layout(self, connection: sqlite3.Connection, number: int) -> Layout:
        if number not in self._layouts:
            text = connection.execute("SELECT layout FROM layouts WHERE id = ?", [number]).fetchone()[0]
            self._layouts[number] = tuple((name, kind) for name, kind in json.loads(text))
        return self._layouts[number]

    def _table(self, view: str) -> str:
        return _quote(f"{self._project}.{view}")


def _values(content: str) -> Any:
    """Read a row's values: JSON, which may have numbers that are none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


def _digest(key: bytes, moment: int, kinds: str, content: str) -> int:
    return row_digest(key, f"{moment} {kinds} {content}".encode())


def _layout_id(connection: sqlite3.Connection, layout: Layout) -> int:
    text = to_json(layout)
    connection.execute("INSERT OR IGNORE INTO layouts (layout) VALUES (?)", [text])
    return int(connection.execute("SELECT id FROM layouts WHERE layout = ?", [text]).fetchone()[0])


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    """Tell whether an error says that a file is no database, or not a whole one."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _write_empty(file: Path) -> None:
    """Put an empty database of this format in the place of a file; whoever has that open goes on with the old one."""
    new = temporary_beside(file)
    try:
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode = wal")  # a service reads while a run writes
            connection.executescript(f"{_TABLES} PRAGMA user_version = {_FORMAT};")
        _unlink_beside(file)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
        _unlink_beside(new)


def _unlink_beside(file: Path) -> None:
    """Remove the logs that SQLite has left beside a database; on a full disk it leaves them."""
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
