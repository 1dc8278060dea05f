"""What people said of anomalies, in SQLite: nothing is ever changed or removed there, the newest answer counts.

An answer is on the disk when it is acknowledged, and several processes may write at once. ``monitoring/labels.sql`` is
the schema.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.results.anomalies import Anomaly

Answer = Literal["anomaly", "new-trend", "false-alarm", "undecided"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)

SCHEMA = """\
-- Anomalies that were found. The newest figures of each; answers refer to them.
CREATE TABLE IF NOT EXISTS anomalies (
    problem TEXT NOT NULL, id TEXT NOT NULL, monitor TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL,
    begins TEXT NOT NULL, ends TEXT NOT NULL, strength REAL NOT NULL, PRIMARY KEY (problem, id)
);
-- What people said of them. Rows are only added; the newest one of an anomaly counts.
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, problem TEXT NOT NULL, id TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('anomaly', 'new-trend', 'false-alarm', 'undecided')),
    who TEXT NOT NULL, said_at TEXT NOT NULL, note TEXT NOT NULL
);
-- How much wider than declared the bands of a monitor are. Rows are only added; the newest one counts.
CREATE TABLE IF NOT EXISTS widths (
    number INTEGER PRIMARY KEY AUTOINCREMENT, problem TEXT NOT NULL, monitor TEXT NOT NULL,
    factor REAL NOT NULL CHECK (factor > 0), who TEXT NOT NULL, said_at TEXT NOT NULL
);
"""

_WAIT_S = 60.0


@dataclass(frozen=True)
class Said:
    """An answer about an anomaly.

    Attributes:
        id: Of the anomaly.
        answer: ``anomaly``, ``new-trend`` (an anomaly that is the new normal), ``false-alarm`` or ``undecided``.
        who: Who said so.
        note: Why; empty for nothing.
    """

    id: str
    answer: Answer
    who: str
    note: str = ""


@dataclass(frozen=True)
class Answered:
    """An anomaly with the answer that counts.

    Attributes:
        id: Of the anomaly.
        monitor: Its monitor.
        dimension: Its dimension.
        value: Value of the dimension.
        begin: When it begins.
        strength: How far it was from what was expected.
        answer: The newest answer.
        who: Who said so.
        said_at: When.
        note: Why.
    """

    id: str
    monitor: str
    dimension: str
    value: str
    begin: datetime
    strength: float
    answer: Answer
    who: str
    said_at: datetime
    note: str


class AnswerStore:
    """Answers about the anomalies of one problem.

    Args:
        file: The SQLite file; made when something is written.
        problem: Name of the problem.
    """

    def __init__(self, file: Path, problem: str) -> None:
        self._file, self._problem = file, problem

    def remember(self, anomalies: Sequence[Anomaly]) -> None:
        """Keep anomalies, so that answers can refer to them."""
        rows = [
            (self._problem, one.id, one.monitor, one.dimension, one.value, *_moments(one), one.strength)
            for one in anomalies
        ]
        if rows:
            with self._writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO anomalies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add(self, answers: Sequence[Said], key: str) -> None:
        """Add answers, all or none.

        Args:
            answers: What was said.
            key: Where, for messages.

        Raises:
            UserError: An anomaly is not known.
        """
        with self._writing() as connection:
            found = connection.execute("SELECT id FROM anomalies WHERE problem = ?", (self._problem,))
            known = {str(one) for (one,) in found}
            strange = [one.id for one in answers if one.id not in known]
            if strange:
                hint = "; `kedro anomalies detect` finds them, and shows their ids"
                raise UserError(*(Mistake("", unknown("anomaly", one, known) + hint, key) for one in strange[:20]))
            now = datetime.now(UTC).isoformat()
            connection.executemany(
                "INSERT INTO answers (problem, id, answer, who, said_at, note) VALUES (?, ?, ?, ?, ?, ?)",
                [(self._problem, one.id, one.answer, one.who, now, one.note) for one in answers],
            )

    def answered(self) -> list[Answered]:
        """Return the anomalies with an answer, the newest first."""
        query = """
            SELECT id, monitor, dimension, value, begins, strength, answer, who, said_at, note
            FROM answers JOIN anomalies USING (problem, id)
            WHERE problem = ? AND number IN (SELECT max(number) FROM answers GROUP BY problem, id)
            ORDER BY begins DESC, id
        """
        return [
            Answered(id_, monitor, dimension, value, _read(begin), strength, answer, who, _read(said_at), note)
            for id_, monitor, dimension, value, begin, strength, answer, who, said_at, note in self._rows(query)
        ]

    def widths(self) -> Mapping[str, float]:
        """Return how much wider than declared the bands of monitors are; those that are not are left out."""
        query = """
            SELECT monitor, factor FROM widths
            WHERE problem = ? AND number IN (SELECT max(number) FROM widths GROUP BY problem, monitor)
        """
        return {str(monitor): float(factor) for monitor, factor in self._rows(query)}

    def widen(self, factors: Mapping[str, float], who: str) -> None:
        """Set how much wider than declared the bands of monitors are."""
        now = datetime.now(UTC).isoformat()
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO widths (problem, monitor, factor, who, said_at) VALUES (?, ?, ?, ?, ?)",
                [(self._problem, monitor, factor, who, now) for monitor, factor in factors.items()],
            )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if not self._file.exists():
            return []
        with self._opened() as connection:
            return connection.execute(query, (self._problem,)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open for writing: one writer at a time, all of its changes or none."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # what is acknowledged outlives a power cut
            connection.executescript(SCHEMA)
            yield connection
        except sqlite3.DatabaseError as error:
            raise UserError(Mistake("", f"cannot be used: {error}", str(self._file))) from error
        finally:
            connection.close()


def read_answers(file: Path, who: str) -> list[Said]:
    """Read answers of a CSV file with columns ``id`` and ``answer``, and perhaps ``note`` and ``who``.

    Args:
        file: The file.
        who: Who says so, where the file does not say.

    Raises:
        UserError: It cannot be read, or has other answers.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            names = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(Mistake("", f"cannot be read: {type(error).__name__}", str(file))) from error
    if missing := [name for name in ("id", "answer") if name not in names]:
        raise UserError(Mistake("", f"has no column '{missing[0]}'", str(file)))
    wrong = [
        Mistake("", unknown("answer", row["answer"] or "", ANSWERS), f"{file}:{number}")
        for number, row in enumerate(rows, 2)
        if row["answer"] not in ANSWERS
    ]
    if wrong:
        raise UserError(*wrong[:20])
    return [Said(row["id"], cast(Answer, row["answer"]), row.get("who") or who, row.get("note") or "") for row in rows]


def _moments(one: Anomaly) -> tuple[str, str]:
    return one.begin.isoformat(), one.end.isoformat()


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)
