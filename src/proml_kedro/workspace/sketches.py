"""Distributions and similar features, which take longer than a search and are kept."""

from __future__ import annotations

from dataclasses import asdict
from threading import Lock
from typing import Any

from proml_kedro.engine.errors import EngineError
from proml_kedro.errors import UserError
from proml_kedro.marketplace.entry import Entry
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.api import summarize
from proml_kedro.workspace.columns import FeatureColumn, find_column
from proml_kedro.workspace.correlation import correlations
from proml_kedro.workspace.distribution import Distribution, sketch
from proml_kedro.workspace.snapshot import Snapshot

_SKETCHES = 1000


class Sketches:
    """Cache of distributions and correlations, computed once for a result, and one at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, FeatureColumn], Any] = {}

    def distribution(self, snapshot: Snapshot, entry: Entry) -> dict[str, Any]:
        """Return how the values of a feature are distributed, or why that is not known."""
        try:
            column = find_column(entry, snapshot.places)
            if column is None:
                return {"nothing": "No values yet: a run computes them."}
            found: Distribution = self._once("sketch", column, snapshot.hardware)
        except (OSError, ValueError, UserError) as error:
            return {"unreadable": _one_line(error)}
        return asdict(found)

    def similar(self, snapshot: Snapshot, entry: Entry) -> list[dict[str, Any]]:
        """List features that say or compute nearly the same, or whose values are correlated."""
        by_words = {(one.problem, one.name): (likeness, one) for likeness, one in snapshot.market.similar(entry)}
        by_values = self._correlated(snapshot, entry)
        found = []
        for key in {**by_words, **{(entry.problem, name): None for name in by_values}}:
            likeness, one = by_words.get(key, (None, None))
            one = one or next(iter(snapshot.market.get(key[1], key[0])), None)
            if one is not None:
                correlation = by_values.get(one.name) if one.problem == entry.problem else None
                found.append({**summarize(snapshot, one), "likeness": likeness, "correlation": correlation})
        return sorted(found, key=lambda one: (-max(one["likeness"] or 0, abs(one["correlation"] or 0)), one["name"]))

    def _correlated(self, snapshot: Snapshot, entry: Entry) -> dict[str, float]:
        try:
            column = find_column(entry, snapshot.places)
            found: dict[str, float] = self._once("correlations", column, snapshot.hardware) if column else {}
        except (OSError, ValueError, UserError):  # said where the distribution would be
            return {}
        return found

    def _once(self, what: str, column: FeatureColumn, hardware: HardwareSpec) -> Any:
        with self._lock:
            if (what, column) not in self._known:
                if len(self._known) >= _SKETCHES:
                    self._known.pop(next(iter(self._known)))
                try:
                    known = (sketch if what == "sketch" else correlations)(column, hardware)
                except EngineError as error:  # a file that is damaged beyond its description
                    raise ValueError(str(error)) from error
                self._known[what, column] = known
            return self._known[what, column]


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
