"""The marketplace's search: an index over the words of every declared feature, with facets, in one SQLite file.

Each word of a query is the beginning of a word in a feature's name, description, owner, entity or tags, and all of
them must be found. Results are ordered by how many of the words stand in the name, then by how much the feature is
used. Features are numbered in that second order when the index is built, so that nothing but small arrays is sorted
while somebody types.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proml_kedro.marketplace.entry import COLUMNS, Entry, window_words
from proml_kedro.marketplace.similarity import Described, likeness
from proml_kedro.marketplace.words import WordIndex, words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

FACETS = ("problem", "entity", "feature_type", "dtype", "window", "owner")
FORMAT = 2
"""Raise it when the layout of the file changes."""

_MOST_WORDS = 12
_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)


@dataclass(frozen=True)
class Found:
    """The answer to a search.

    Attributes:
        total: How many features match.
        entries: The first of them.
        facets: For each facet its values with how many of the matching features have them, most frequent first.
        seconds: How long the search took.
        alone: When nothing has all the words, how many features have each of them.
    """

    total: int
    entries: list[Entry]
    facets: dict[str, dict[str, int]]
    seconds: float
    alone: dict[str, int] = field(default_factory=dict)


class Market:
    """A search index on disk.

    Args:
        file: What :meth:`build` has written.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)
        self._words = lru_cache(maxsize=512)(self._find_words)
        self._labels: list[str] = []

    @classmethod
    def build(cls, file: Path, entries: Iterable[Entry]) -> Self:
        """Write an index in one pass; a half-written one is never found under the file's name."""
        order = sorted(entries, key=_rank)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}-{os.getpid()}")
        temporary.unlink(missing_ok=True)
        connection, done = sqlite3.connect(temporary), False
        try:
            connection.executescript(
                "PRAGMA journal_mode = off; PRAGMA synchronous = off;"
                f"CREATE TABLE feature (id INTEGER PRIMARY KEY, {_COLUMNS});"
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
        return cls(file)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def warm(self) -> None:
        """Read at once what the first searches would read, so that none of them waits for it."""
        for name in FACETS:
            self._facet(name)
        self._in_name, self._anywhere  # noqa: B018 - read on first use, and kept

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM feature").fetchone()[0])

    def search(self, query: str = "", filters: Mapping[str, str | int] | None = None, limit: int = 20) -> Found:
        """Find features.

        Args:
            query: Beginnings of words, in any order; what is neither letter nor digit separates them.
            filters: Column of :data:`~proml_kedro.marketplace.entry.COLUMNS` → the value it must have.
            limit: How many features to return.

        Raises:
            KeyError: There is no such column.
        """
        import numpy as np

        started = time.perf_counter()
        wanted = list(dict.fromkeys(words(query)))[:_MOST_WORDS]
        matching = np.ones(self._size, np.bool_)
        score = np.zeros(self._size, np.int8)
        for word in wanted:
            anywhere, in_name = self._words(word)
            matching &= anywhere
            score += in_name
        for name, value in (filters or {}).items():
            matching &= self._has(name, value)
        hits = np.flatnonzero(matching)
        first = hits[np.argsort(-score[hits], kind="stable")[:limit]] if wanted else hits[:limit]
        entries = self._entries(first.tolist())
        alone = {} if len(hits) else {word: int(self._words(word)[0].sum()) for word in wanted}
        return Found(len(hits), entries, self._count(hits), time.perf_counter() - started, alone)

    def get(self, name: str, problem: str | None = None) -> list[Entry]:
        """The features of this name, one for each problem that declares it."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM feature WHERE name = ?", [name]).fetchall()
        return [one for one in map(_entry, rows) if problem in (None, one.problem)]

    def names(self) -> list[str]:
        """The names of all features, sorted."""
        return [row[0] for row in self._connection.execute("SELECT DISTINCT name FROM feature ORDER BY name")]

    def values(self, column: str) -> list[Any]:
        """The different values of a column.

        Raises:
            KeyError: There is no such column.
        """
        return self._facet(column)[0]

    def all(self) -> list[Entry]:
        """Every feature, the most used first."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM feature ORDER BY id").fetchall()
        return [_entry(row) for row in rows]

    def similar(self, entry: Entry, limit: int = 5, least: float = 0.5) -> list[tuple[float, Entry]]:
        """Features that say or compute nearly the same, nearest first, as :func:`likeness` has it.

        Args:
            entry: The feature.
            limit: How many to return.
            least: The least likeness, from 0 to 1.
        """
        own = Described.of(entry)
        others = (one for one in self._described if (one.entry.problem, one.entry.name) != (entry.problem, entry.name))
        found = [(alike, one.entry) for one in others if (alike := likeness(one, own)) >= least]
        return sorted(found, key=lambda item: (-item[0], item[1].name, item[1].problem))[:limit]

    @cached_property
    def _described(self) -> list[Described]:
        return [Described.of(one) for one in self.all()]

    @cached_property
    def _size(self) -> int:
        return len(self)

    def add_facet(self, name: str, of_view: Callable[[str, str], str]) -> None:
        """Let features be found and counted by something that the index does not hold, such as how new they are.

        Args:
            name: Of the facet.
            of_view: Its value for a problem and one of its views.
        """
        import numpy as np

        (problems, problem_of), (views, view_of) = self._facet("problem"), self._facet("view")
        pairs, pair_of = np.unique(np.stack([problem_of, view_of]), axis=1, return_inverse=True)
        labels = [of_view(problems[problem], views[view]) for problem, view in pairs.T.tolist()]
        values = list(dict.fromkeys(labels))
        codes = np.array([values.index(one) for one in labels], np.int64)
        self._codes[name] = values, codes[pair_of.ravel()]
        self._labels.append(name)

    @cached_property
    def _in_name(self) -> WordIndex:
        return self._read_index("name")

    @cached_property
    def _anywhere(self) -> WordIndex:
        return self._read_index("anywhere")

    def _read_index(self, place: str) -> WordIndex:
        query = "SELECT words, ends, features FROM words WHERE place = ?"
        return WordIndex.read(self._connection.execute(query, [place]).fetchone())

    def _find_words(self, word: str) -> tuple[Mask, Mask]:
        """For each feature, whether a word with this beginning stands anywhere in it, and in its name."""
        import numpy as np

        anywhere, in_name = np.zeros(self._size, np.bool_), np.zeros(self._size, np.bool_)
        anywhere[self._anywhere.having(word)] = True
        in_name[self._in_name.having(word)] = True
        return anywhere, in_name

    def _has(self, column: str, value: str | int) -> Mask:
        import numpy as np

        if column == "entity":  # of a composite key, each part
            values, codes = self._facet(column)
            wanted = [position for position, one in enumerate(values) if value == one or value in str(one).split(",")]
            mask: Mask = np.isin(codes, wanted)
            return mask
        values, codes = self._facet(column)
        return np.asarray(codes == (values.index(value) if value in values else -1))

    @cached_property
    def _codes(self) -> dict[str, tuple[list[Any], Any]]:
        return {}

    def _facet(self, column: str) -> tuple[list[Any], Any]:
        """The different values of a column, and for each feature the position of its own."""
        import numpy as np

        if column not in self._codes:
            if column not in COLUMNS:
                raise KeyError(column)
            position: dict[Any, int] = {}
            rows = self._connection.execute(f'SELECT "{column}" FROM feature ORDER BY id').fetchall()
            codes = np.array([position.setdefault(row[0], len(position)) for row in rows], np.int64)
            self._codes[column] = list(position), codes
        return self._codes[column]

    def _count(self, hits: Any) -> dict[str, dict[str, int]]:
        import numpy as np

        counts = {}
        for name in (*FACETS, *self._labels):
            values, codes = self._facet(name)
            numbers = np.bincount(codes[hits], minlength=len(values))
            order = np.argsort(-numbers, kind="stable")[:20].tolist()
            counts[name] = {str(values[one]): int(numbers[one]) for one in order if numbers[one]}
        return counts

    def _entries(self, ids: list[int]) -> list[Entry]:
        marks = ", ".join("?" * len(ids))
        query = f"SELECT id, {_COLUMNS} FROM feature WHERE id IN ({marks})"
        rows = {row[0]: row[1:] for row in self._connection.execute(query, ids)}
        return [_entry(rows[one]) for one in ids]


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(**dict(zip(COLUMNS, row, strict=True)))


def _rank(entry: Entry) -> tuple[Any, ...]:
    """The most used first; then by name."""
    used = len(entry.models.split(",")) if entry.models else 0
    used += len(entry.bundles.split(",")) if entry.bundles else 0
    return -used, -(entry.importance or 0.0), entry.name, entry.problem


def _name(entry: Entry) -> str:
    return entry.name


def _text(entry: Entry) -> str:
    """All that a feature is found by."""
    said = (entry.name, entry.description, entry.owner, entry.entity, entry.problem, entry.feature_type)
    return " ".join((*said, entry.aggregate, entry.table, entry.tags, window_words(entry.window)))
