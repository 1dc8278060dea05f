"""The marketplace's search: an index over the words of every declared feature, with facets, in one SQLite file.

Each word of a query is the beginning of a word in what was declared of a feature, such as its name, description, owner,
key or tags, and all of them must be found; a result says where. Results are ordered by how many of the words stand in
the name, then by how much the feature is used. Features are numbered in that second order when the index is built, so
that nothing but small arrays is sorted while somebody types.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.facets import FACETS, Facets
from proml_kedro.marketplace.index_file import FORMAT, SQL_COLUMNS, read_entry, read_words, searched_fields, write_index
from proml_kedro.marketplace.similarity import FeatureWords, likeness
from proml_kedro.marketplace.words import WordIndex, words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

__all__ = ["FACETS", "FORMAT", "Market", "SearchResult"]

_MOST_WORDS = 12


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        total: How many features match.
        entries: The first of them.
        facets: For each facet its values with how many of the matching features have them, most frequent first.
        seconds: How long the search took.
        alone: When no feature has all the words, how many features have each of them.
        places: For each of the entries the fields in which a word was found, the name first.
    """

    total: int
    entries: list[Entry]
    facets: dict[str, dict[str, int]]
    seconds: float
    alone: dict[str, int] = field(default_factory=dict)
    places: list[tuple[str, ...]] = field(default_factory=list)


def _found_in(entry: Entry, wanted: Sequence[str]) -> Iterator[str]:
    """Name the fields of a feature that have a word with one of these beginnings."""
    for name, text in searched_fields(entry).items():
        if any(word.startswith(tuple(wanted)) for word in words(text)):
            yield name


class Market:
    """Search index on disk.

    Args:
        file: What :meth:`build` has written.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)
        self._words = lru_cache(maxsize=512)(self._find_words)
        self._facets = Facets(self._connection)

    @classmethod
    def build(cls, file: Path, entries: Iterable[Entry]) -> Self:
        """Write an index and open it."""
        write_index(file, entries)
        return cls(file)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def warm(self) -> None:
        """Read at once what the first searches would read, so that none of them waits for it."""
        for name in FACETS:
            self._facets.column(name)
        self._in_name, self._anywhere  # noqa: B018 - read on first use, and kept

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM feature").fetchone()[0])

    def search(self, query: str = "", filters: Mapping[str, str | int] | None = None, limit: int = 20) -> SearchResult:
        """Find features.

        Args:
            query: Beginnings of words, in any order. Anything but letters and digits separates them.
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
            matching &= self._facets.matches(name, value)
        hits = np.flatnonzero(matching)
        first = hits[np.argsort(-score[hits], kind="stable")[:limit]] if wanted else hits[:limit]
        entries = self._entries(first.tolist())
        alone = {} if len(hits) else {word: int(self._words(word)[0].sum()) for word in wanted}
        places = [tuple(_found_in(one, wanted)) for one in entries]
        return SearchResult(len(hits), entries, self._facets.count(hits), time.perf_counter() - started, alone, places)

    def get(self, name: str, problem: str | None = None) -> list[Entry]:
        """Return the features of this name, one for each problem that declares it."""
        rows = self._connection.execute(f"SELECT {SQL_COLUMNS} FROM feature WHERE name = ?", [name]).fetchall()
        return [one for one in map(read_entry, rows) if problem in (None, one.problem)]

    def names(self) -> list[str]:
        """Return the names of all features, sorted."""
        return [row[0] for row in self._connection.execute("SELECT DISTINCT name FROM feature ORDER BY name")]

    def values(self, column: str) -> list[Any]:
        """Return the different values of a column.

        Raises:
            KeyError: There is no such column.
        """
        return self._facets.column(column)[0]

    def all(self) -> list[Entry]:
        """Return every feature, the most used first."""
        rows = self._connection.execute(f"SELECT {SQL_COLUMNS} FROM feature ORDER BY id").fetchall()
        return [read_entry(row) for row in rows]

    def similar(self, entry: Entry, limit: int = 5, least: float = 0.5) -> list[tuple[float, Entry]]:
        """Return the most similar features with their :func:`likeness`, nearest first.

        Args:
            entry: The feature.
            limit: How many to return.
            least: The least likeness, from 0 to 1.
        """
        own = FeatureWords.of(entry)
        others = (
            one for one in self._descriptions if (one.entry.problem, one.entry.name) != (entry.problem, entry.name)
        )
        found = [(alike, one.entry) for one in others if (alike := likeness(one, own)) >= least]
        return sorted(found, key=lambda item: (-item[0], item[1].name, item[1].problem))[:limit]

    def add_facet(self, name: str, of_view: Callable[[str, str], str]) -> None:
        """Let features be found and counted by something that the index does not hold, such as how new they are.

        Args:
            name: Of the facet.
            of_view: Its value for a problem and one of its views.
        """
        self._facets.add(name, of_view)

    @cached_property
    def _descriptions(self) -> list[FeatureWords]:
        return [FeatureWords.of(one) for one in self.all()]

    @cached_property
    def _size(self) -> int:
        return len(self)

    @cached_property
    def _in_name(self) -> WordIndex:
        return read_words(self._connection, "name")

    @cached_property
    def _anywhere(self) -> WordIndex:
        return read_words(self._connection, "anywhere")

    def _find_words(self, word: str) -> tuple[Mask, Mask]:
        """Return whether a word with this beginning stands anywhere in each feature, and in its name; shape (n,)."""
        import numpy as np

        anywhere, in_name = np.zeros(self._size, np.bool_), np.zeros(self._size, np.bool_)
        anywhere[self._anywhere.having(word)] = True
        in_name[self._in_name.having(word)] = True
        return anywhere, in_name

    def _entries(self, ids: list[int]) -> list[Entry]:
        marks = ", ".join("?" * len(ids))
        query = f"SELECT id, {SQL_COLUMNS} FROM feature WHERE id IN ({marks})"
        rows = {row[0]: row[1:] for row in self._connection.execute(query, ids)}
        return [read_entry(rows[one]) for one in ids]
