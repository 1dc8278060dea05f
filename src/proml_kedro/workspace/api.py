"""What the page is told: plain values for each of its views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from threading import Lock
from typing import Any

from proml_kedro.engine.errors import EngineError
from proml_kedro.errors import UserError
from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.index import FACETS
from proml_kedro.results import Consistency
from proml_kedro.spec.features import window_length
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.definition import as_yaml
from proml_kedro.workspace.distribution import Column, Distribution, correlations, find_column, sketch
from proml_kedro.workspace.results import ModelResult
from proml_kedro.workspace.snapshot import FRESHNESS, Content, is_on_demand

SHOWN_FACETS = (*(one for one in FACETS if one != "problem"), FRESHNESS, "problem")
"""The facets, in the order in which the page has them."""

_SUMMARY = ("name", "problem", "dtype", "feature_type", "entity", "window", "owner", "description")
_SKETCHES = 1000


def search(content: Content, query: str, filters: Mapping[str, str], limit: int) -> dict[str, Any]:
    """The features that are found.

    A facet that is filtered by counts what there would be without that filter, so that another value can be chosen.
    """
    found = content.market.search(query, filters, limit)
    seconds = found.seconds
    facets = found.facets
    for name in filters:
        others = {other: value for other, value in filters.items() if other != name}
        without = content.market.search(query, others, limit=0)
        # Only the most frequent values are counted; of the chosen one there is what was found.
        facets[name] = {filters[name]: found.total} | without.facets[name]
        seconds += without.seconds
    return {
        "total": found.total,
        "of": len(content.market),
        "milliseconds": round(seconds * 1e3, 2),
        "alone": found.alone,
        "facets": {name: _in_order(name, facets[name]) for name in SHOWN_FACETS},
        "features": [_summary(content, one) for one in found.entries],
    }


def _in_order(facet: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The values of a facet: windows the shortest first, all others the most frequent first."""
    if facet == "window":
        return sorted(counts.items(), key=lambda item: _length(item[0]))
    return sorted(counts.items(), key=lambda item: -item[1])


def _length(window: str) -> tuple[bool, timedelta]:
    """None is shorter than any, all time is longer, and what somebody has typed into the address is last."""
    try:
        length = window_length(window) if window else timedelta(0)
    except ValueError:
        return True, timedelta.max
    return length is None, length or timedelta(0)


def _summary(content: Content, entry: Entry) -> dict[str, Any]:
    own = {name: getattr(entry, name) for name in _SUMMARY}
    key = (entry.problem, entry.name)
    table = content.tables.get((entry.problem, entry.view))
    return own | {
        "on_demand": is_on_demand(entry),
        "readers": _count(entry.models) + _count(entry.bundles) + len(content.read_by.get(key, ())),
        "importance": entry.importance,
        "null_share": entry.null_share,
        "freshness": table.label if table else "",
        "drift": content.drift.get(key),
    }


def _count(names: str) -> int:
    return len(_names(names))


def _names(names: str) -> list[str]:
    return names.split(",") if names else []


def describe(content: Content, entry: Entry) -> dict[str, Any]:
    """All that is known of a feature at once; its distribution and similar features are asked for separately."""
    table = content.tables.get((entry.problem, entry.view))
    fresh = table.fresh if table else None
    results = [one for one in content.results if one.problem == entry.problem]
    return {
        **asdict(entry),
        **_summary(content, entry),
        "models": _names(entry.models),
        "bundles": _names(entry.bundles),
        "reads": content.reads.get((entry.problem, entry.name), ()),
        "read_by": content.read_by.get((entry.problem, entry.name), ()),
        "definition": entry.definition,
        "yaml": as_yaml(entry, content.written(entry.problem)),
        "rows": fresh.rows if fresh else None,
        "newest": fresh.newest if fresh else None,
        "importances": {one.model: one.importance[entry.name] for one in results if entry.name in one.importance},
        "drifts": {one.model: _drift_of(one, entry.name) for one in results if _drift_of(one, entry.name)},
    }


def _drift_of(result: ModelResult, feature: str) -> dict[str, Any] | None:
    columns = result.drift.columns if result.drift else ()
    return next((asdict(one) for one in columns if one.name == feature), None)


class Sketches:
    """Distributions and correlations, each computed once for a result, and one at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, Column], Any] = {}

    def distribution(self, content: Content, entry: Entry) -> dict[str, Any]:
        """How the values of a feature are distributed, or why that cannot be said."""
        try:
            column = find_column(entry, content.places)
            if column is None:
                return {"nothing": "No values yet: a run computes them."}
            found: Distribution = self._once("sketch", column, content.hardware)
        except (OSError, ValueError, UserError) as error:
            return {"unreadable": _one_line(error)}
        return asdict(found)

    def similar(self, content: Content, entry: Entry) -> list[dict[str, Any]]:
        """Features that say or compute nearly the same, or whose values go along with these."""
        by_words = {(one.problem, one.name): (likeness, one) for likeness, one in content.market.similar(entry)}
        by_values = self._correlated(content, entry)
        found = []
        for key in {**by_words, **{(entry.problem, name): None for name in by_values}}:
            likeness, one = by_words.get(key, (None, None))
            one = one or next(iter(content.market.get(key[1], key[0])), None)
            if one is not None:
                correlation = by_values.get(one.name) if one.problem == entry.problem else None
                found.append({**_summary(content, one), "likeness": likeness, "correlation": correlation})
        return sorted(found, key=lambda one: (-max(one["likeness"] or 0, abs(one["correlation"] or 0)), one["name"]))

    def _correlated(self, content: Content, entry: Entry) -> dict[str, float]:
        try:
            column = find_column(entry, content.places)
            found: dict[str, float] = self._once("correlations", column, content.hardware) if column else {}
        except (OSError, ValueError, UserError):  # said where the distribution would be
            return {}
        return found

    def _once(self, what: str, column: Column, hardware: HardwareSpec) -> Any:
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


def models(content: Content) -> list[dict[str, Any]]:
    """What was run, the newest first."""
    return [
        {
            **_of_model(one),
            "metrics": asdict(one.metrics) if one.metrics else None,
            "higher_is_better": {
                name: higher_is_better(name) for name in (one.metrics.candidate if one.metrics else ())
            },
            "importance": sorted(one.importance.items(), key=lambda item: -item[1]),
            "features": _declared(content, one, one.importance),
            "training_set": asdict(one.training_set) if one.training_set else None,
            "bundle": one.bundle,
        }
        for one in content.results
    ]


def health(content: Content) -> list[dict[str, Any]]:
    """What the last checks have found, the newest first."""
    return [
        {
            **_of_model(one),
            "drift": one.drift.as_dict() if one.drift else None,
            "features": _declared(content, one, [column.name for column in one.drift.columns] if one.drift else ()),
            "consistency": _sums(one.consistency) if one.consistency else None,
        }
        for one in content.results
    ]


def _sums(consistency: Consistency) -> dict[str, int]:
    """What was compared and differs, without the single features."""
    return {name: getattr(consistency, name) for name in ("features", "present", "mismatches")}


def _of_model(result: ModelResult) -> dict[str, Any]:
    return {
        "problem": result.problem,
        "model": result.model,
        "made": result.made,
        "reports": result.reports,
        "unreadable": result.unreadable,
    }


def _declared(content: Content, result: ModelResult, names: Iterable[str]) -> list[str]:
    """Those of some inputs that are features now; others come from components, or are declared no more."""
    return [name for name in names if content.market.get(name, result.problem)]
