"""Up to which moment the online store holds each view. Apart from the store itself, so that nothing imports Feast."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proml_kedro.features.sql import quote

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUSY_SECONDS = 30.0
"""How long a connection waits for another one's write."""


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970; without a time zone the moment is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def forget(file: Path, project: str, view: str, until: datetime) -> int:
    """Remove a view's rows up to a moment; how many there were.

    Args:
        file: The database.
        project: Feast's project.
        view: The view.
        until: Newer rows stay.
    """
    name = quote(f"{project}.{view}")
    with _opened(file) as connection:
        return connection.execute(f"DELETE FROM {name} WHERE moment <= ?", [to_microseconds(until)]).rowcount


class Ledger:
    """Up to which moment each view was put into a store, in the store's own file: both go together.

    Args:
        file: The database.
        project: Feast's project.
    """

    def __init__(self, file: Path, project: str) -> None:
        self._file = file
        self._project = project
        with _opened(file) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS ledger (project TEXT, view TEXT, until INTEGER, history TEXT, "
                "PRIMARY KEY (project, view)) WITHOUT ROWID"
            )

    def read(self, view: str) -> tuple[datetime, str] | None:
        """The moment, and a digest of what was known at it; None when the view was never written to its end."""
        query = "SELECT until, history FROM ledger WHERE (project, view) = (?, ?)"
        with _opened(self._file) as connection:
            row = connection.execute(query, [self._project, view]).fetchone()
        return (EPOCH + timedelta(microseconds=row[0]), row[1]) if row else None

    def all(self) -> dict[str, tuple[datetime, str]]:
        """What :meth:`read` says of every view that is whole."""
        query = "SELECT view, until, history FROM ledger WHERE project = ? ORDER BY view"
        with _opened(self._file) as connection:
            rows = connection.execute(query, [self._project]).fetchall()
        return {view: (EPOCH + timedelta(microseconds=until), digest) for view, until, digest in rows}

    def write(self, view: str, until: datetime, history: str) -> None:
        """Note that everything up to a moment is there."""
        with _opened(self._file) as connection:
            row = (self._project, view, to_microseconds(until), history)
            connection.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", row)
        with _opened(self._file) as connection:  # so that the file alone, when it is copied, holds everything
            connection.execute("PRAGMA wal_checkpoint(truncate)")

    def remove(self, view: str) -> None:
        """Note that nothing is certain."""
        with _opened(self._file) as connection:
            connection.execute("DELETE FROM ledger WHERE (project, view) = (?, ?)", [self._project, view])


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction, closed at its end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS)
    try:
        with connection:
            yield connection
    finally:
        connection.close()
