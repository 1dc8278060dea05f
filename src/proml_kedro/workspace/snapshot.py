"""What the page shows at a moment, and the next moment's when something has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from proml_kedro.errors import UserError
from proml_kedro.features.views.freshness import Freshness, freshness
from proml_kedro.marketplace.entry import REQUEST, Entry
from proml_kedro.marketplace.index import Market
from proml_kedro.results import Places
from proml_kedro.results.names import table_file
from proml_kedro.spec.expression import columns, parse
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.results import ModelResult, read_results, worst_drift

FRESHNESS = "freshness"
"""The facet that counts how long ago the newest value of a feature was known."""

_AGES = (
    (timedelta(hours=1), "under 1 hour"),
    (timedelta(days=1), "under 1 day"),
    (timedelta(days=7), "under 7 days"),
    (timedelta(days=30), "under 30 days"),
)

Written = Mapping[str, Mapping[str, Any]]
"""A problem's feature views as they are written."""


@dataclass(frozen=True)
class Table:
    """What is known of the table of a feature view.

    Attributes:
        label: Its value of the facet ``freshness``.
        fresh: None when there is no table, or it cannot be read.
    """

    label: str
    fresh: Freshness | None = None


@dataclass(frozen=True)
class Content:
    """What the page shows.

    Attributes:
        market: The features.
        places: Where results lie.
        hardware: The machine.
        written: Problem → its feature views as they are written.
        notices: What had to be left out, and why.
        results: What was run.
        drift: Problem and feature → the worst verdict.
        tables: Problem and view → its table.
        reads: Problem and on-demand feature → the features that it is computed from.
    """

    market: Market
    places: Places
    hardware: HardwareSpec
    written: Callable[[str], Written]
    notices: Sequence[str] = ()
    results: Sequence[ModelResult] = ()
    drift: Mapping[tuple[str, str], str] = field(default_factory=dict)
    tables: Mapping[tuple[str, str], Table] = field(default_factory=dict)
    reads: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)

    @cached_property
    def read_by(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """Problem and feature → the on-demand features that are computed from it."""
        readers: dict[tuple[str, str], list[str]] = {}
        for (problem, reader), names in self.reads.items():
            for name in names:
                readers.setdefault((problem, name), []).append(reader)
        return readers

    @classmethod
    def of(
        cls,
        market: Market,
        places: Places,
        hardware: HardwareSpec,
        written: Callable[[str], Written],
        notices: Sequence[str] = (),
    ) -> Content:
        """Read the results that lie at these places, and make the index ready to be searched."""
        market.warm()
        results = read_results(places)
        now = datetime.now(UTC)
        entries = market.all()
        views = {(one.problem, one.view): one for one in entries}
        tables = {key: _table(one, places, now) for key, one in views.items()}
        market.add_facet(FRESHNESS, lambda problem, view: tables[problem, view].label)
        reads = {(one.problem, one.name): _reads(one) for one in entries if is_on_demand(one)}
        return cls(market, places, hardware, written, notices, results, worst_drift(results), tables, reads)


def is_on_demand(entry: Entry) -> bool:
    """Whether a feature is computed from others when a request comes."""
    return entry.entity == REQUEST and not entry.table


def _reads(entry: Entry) -> tuple[str, ...]:
    try:
        return tuple(columns(parse(entry.expression)))
    except ValueError:  # a run says what is wrong with it
        return ()


def feature_table(places: Places, entry: Entry) -> Path:
    """Where the table of a feature's view is, if it was computed."""
    return table_file(places.at("feature_tables", entry.problem), entry.view)


def _table(entry: Entry, places: Places, now: datetime) -> Table:
    if entry.entity == REQUEST:
        return Table("on demand" if is_on_demand(entry) else "with the request")
    try:
        fresh = freshness(feature_table(places, entry))
    except (OSError, ValueError):  # not a Parquet file, or one without these columns
        return Table("unreadable")
    if fresh is None:
        return Table("not computed")
    if not entry.event_time:
        return Table("does not change", fresh)
    if fresh.newest is None:
        return Table("no rows", fresh)
    return Table(next((label for age, label in _AGES if now - fresh.newest < age), "over 30 days"), fresh)


class Source(Protocol):
    """Where content comes from."""

    def stamp(self) -> str:
        """Something that is different after what the content is made from has changed; quick to find out."""

    def load(self) -> Content:
        """The content.

        Raises:
            UserError: The configuration is not sound.
        """


class Live:
    """Content that follows what it is made from.

    Args:
        source: Where it comes from.

    Attributes:
        content: As it was when everything was last sound.
        stamp: Of the content.
        mistakes: What is wrong with the configuration now; empty when nothing is.

    Raises:
        UserError: The configuration is not sound.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.stamp = source.stamp()
        self.content = source.load()
        self.mistakes: list[str] = []

    def refresh(self) -> None:
        """Load the content anew when something has changed; keep the old one while the configuration is not sound."""
        with self._lock:
            stamp = self._source.stamp()
            if stamp == self.stamp:
                return
            try:
                self.content, self.mistakes = self._source.load(), []
            except UserError as error:
                self.mistakes = str(error).splitlines()
            self.stamp = stamp
