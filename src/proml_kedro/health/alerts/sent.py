"""What was told to whom, in SQLite: nothing is told twice, and what was not delivered is tried again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from proml_kedro.errors import Mistake, UserError
from proml_kedro.results.anomalies import Anomaly

_SCHEMA = """\
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY AUTOINCREMENT, problem TEXT NOT NULL, receiver TEXT NOT NULL, id TEXT NOT NULL,
    monitor TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, ends TEXT NOT NULL, sent_at TEXT NOT NULL
);
"""
_WAIT_S = 60.0


class SentStore:
    """What was delivered of one problem's anomalies.

    Args:
        file: The SQLite file; made when something is written.
        problem: Name of the problem.
    """

    def __init__(self, file: Path, problem: str) -> None:
        self._file, self._problem = file, problem

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Let one process at a time choose and send, so that two of them do not tell the same.

        Raises:
            UserError: The file cannot be used.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            yield Turn(connection, self._problem)
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise UserError(Mistake("", f"cannot be used: {error}", str(self._file))) from error
        finally:
            connection.close()


class Turn:
    """What one process does while no other one may."""

    def __init__(self, connection: sqlite3.Connection, problem: str) -> None:
        self._connection, self._problem = connection, problem

    def last(self, receiver: str, one: Anomaly) -> datetime | None:
        """Return when a receiver was last told of a figure; None for never."""
        where = "problem = ? AND receiver = ? AND monitor = ? AND dimension = ? AND value = ?"
        query = f"SELECT max(sent_at) FROM sent WHERE {where}"
        key = (self._problem, receiver, one.monitor, one.dimension, one.value)
        (found,) = self._connection.execute(query, key).fetchone()
        return None if found is None else datetime.fromisoformat(found)

    def has(self, receiver: str, one: Anomaly) -> bool:
        """Tell whether a receiver knows of an anomaly as long as it is now."""
        query = "SELECT max(ends) FROM sent WHERE problem = ? AND receiver = ? AND id = ?"
        (found,) = self._connection.execute(query, (self._problem, receiver, one.id)).fetchone()
        return found is not None and datetime.fromisoformat(found) >= one.end

    def add(self, receiver: str, anomalies: Sequence[Anomaly], now: datetime) -> None:
        """Keep that a receiver was told."""
        columns = "problem, receiver, id, monitor, dimension, value, ends, sent_at"
        self._connection.executemany(
            f"INSERT INTO sent ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(self._problem, receiver, *_key(one), one.end.isoformat(), now.isoformat()) for one in anomalies],
        )
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")


def _key(one: Anomaly) -> tuple[str, str, str, str]:
    return one.id, one.monitor, one.dimension, one.value
