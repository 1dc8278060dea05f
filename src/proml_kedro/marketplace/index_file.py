"""The file of the marketplace's index: every declared feature, and the words that it is found by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from proml_kedro.atomic import temporary_beside
from proml_kedro.marketplace.entry import COLUMNS, Entry, window_words
from proml_kedro.marketplace.words import WordIndex

FORMAT = 3
"""Raise it when the layout of the file changes."""

SQL_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)


def write_index(file: Path, entries: Iterable[Entry]) -> None:
    """Write an index in one pass. A half-written one is never found under the file's name.

    Args:
        file: Replaced when it exists.
        entries: The features. They are numbered in the order in which results are shown.
    """
    order = sorted(entries, key=_rank)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(file)
    connection, done = sqlite3.connect(temporary), False
    try:
        connection.executescript(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off;"
            f"CREATE TABLE feature (id INTEGER PRIMARY KEY, {SQL_COLUMNS});"
            "CREATE TABLE words (place TEXT PRIMARY KEY, words, ends, features);"
        )
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        rows = [(position, *asdict(one).values()) for position, one in enumerate(order)]
        connection.executemany(f"INSERT INTO feature VALUES ({marks})", rows)
        for place, text in (("name", _name), ("anywhere", _text)):
            stored = WordIndex.of(map(text, order)).stored()
            connection.execute("INSERT INTO words VALUES (?, ?, ?, ?)", (place, *stored))
        connection.execute("CREATE INDEX feature_name ON feature (name)")
        connection.commit()
        done = True
    finally:
        connection.close()
        if not done:
            temporary.unlink(missing_ok=True)
    temporary.replace(file)


def read_entry(row: tuple[Any, ...]) -> Entry:
    """Return the feature of a row with the columns :data:`SQL_COLUMNS`."""
    return Entry(**dict(zip(COLUMNS, row, strict=True)))


def read_words(connection: sqlite3.Connection, place: str) -> WordIndex:
    """Read the words of ``name`` or of ``anywhere``."""
    query = "SELECT words, ends, features FROM words WHERE place = ?"
    return WordIndex.read(connection.execute(query, [place]).fetchone())


def _rank(entry: Entry) -> tuple[Any, ...]:
    """Sort key: the most used first, then by name."""
    used = len(entry.models.split(",")) if entry.models else 0
    used += len(entry.bundles.split(",")) if entry.bundles else 0
    return -used, -(entry.importance or 0.0), entry.name, entry.problem


def _name(entry: Entry) -> str:
    return entry.name


def _text(entry: Entry) -> str:
    """Return everything that a feature is found by."""
    return " ".join(searched_fields(entry).values())


def searched_fields(entry: Entry) -> dict[str, str]:
    """Return the texts that a feature is found by, as they were declared, each with what it is."""
    return {
        "name": entry.name,
        "description": entry.description,
        "owner": entry.owner,
        "key": entry.entity,
        "aggregate": entry.aggregate,
        "table": entry.table,
        "tags": entry.tags,
        "window": window_words(entry.window),
    }
