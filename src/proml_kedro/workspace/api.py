"""What the page is told of features: plain values for each of its views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.index import FACETS
from proml_kedro.spec.features import window_length
from proml_kedro.workspace.definition import as_yaml
from proml_kedro.workspace.results import ModelResult
from proml_kedro.workspace.snapshot import FRESHNESS, Snapshot, is_on_demand

SHOWN_FACETS = (*(one for one in FACETS if one != "problem"), FRESHNESS, "problem")
"""The facets, in the order in which the page has them."""

_SUMMARY = ("name", "problem", "dtype", "feature_type", "entity", "window", "owner", "description")


def search(snapshot: Snapshot, query: str, filters: Mapping[str, str], limit: int) -> dict[str, Any]:
    """Search features.

    A facet with a filter counts the features without that filter, so that another value can be chosen.
    """
    found = snapshot.market.search(query, filters, limit)
    seconds = found.seconds
    facets = found.facets
    for name in filters:
        others = {other: value for other, value in filters.items() if other != name}
        without = snapshot.market.search(query, others, limit=0)
        # Only the most frequent values are counted; of the chosen one there is what was found.
        facets[name] = {filters[name]: found.total} | without.facets[name]
        seconds += without.seconds
    return {
        "total": found.total,
        "of": len(snapshot.market),
        "milliseconds": round(seconds * 1e3, 2),
        "alone": found.alone,
        "facets": {name: _in_order(name, facets[name]) for name in SHOWN_FACETS},
        "features": [summarize(snapshot, one) for one in found.entries],
    }


def _in_order(facet: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Order the values of a facet: windows the shortest first, all others the most frequent first."""
    if facet == "window":
        return sorted(counts.items(), key=lambda item: _length(item[0]))
    return sorted(counts.items(), key=lambda item: -item[1])


def _length(window: str) -> tuple[bool, timedelta]:
    """Sort key of a window: none is shorter than any, all time is longer, and unknown text is last."""
    try:
        length = window_length(window) if window else timedelta(0)
    except ValueError:
        return True, timedelta.max
    return length is None, length or timedelta(0)


def summarize(snapshot: Snapshot, entry: Entry) -> dict[str, Any]:
    """Return what a list shows of a feature."""
    own = {name: getattr(entry, name) for name in _SUMMARY}
    key = (entry.problem, entry.name)
    table = snapshot.tables.get((entry.problem, entry.view))
    return own | {
        "on_demand": is_on_demand(entry),
        "readers": _count(entry.models) + _count(entry.bundles) + len(snapshot.read_by.get(key, ())),
        "importance": entry.importance,
        "null_share": entry.null_share,
        "freshness": table.label if table else "",
        "drift": snapshot.drift.get(key),
    }


def _count(names: str) -> int:
    return len(_names(names))


def _names(names: str) -> list[str]:
    return names.split(",") if names else []


def describe(snapshot: Snapshot, entry: Entry) -> dict[str, Any]:
    """Describe a feature. Its distribution and similar features are asked for separately."""
    table = snapshot.tables.get((entry.problem, entry.view))
    fresh = table.fresh if table else None
    results = [one for one in snapshot.results if one.problem == entry.problem]
    return {
        **asdict(entry),
        **summarize(snapshot, entry),
        "models": _names(entry.models),
        "bundles": _names(entry.bundles),
        "reads": snapshot.reads.get((entry.problem, entry.name), ()),
        "read_by": snapshot.read_by.get((entry.problem, entry.name), ()),
        "definition": entry.definition,
        "yaml": as_yaml(entry, snapshot.written(entry.problem)),
        "rows": fresh.rows if fresh else None,
        "newest": fresh.newest if fresh else None,
        "importances": {one.model: one.importance[entry.name] for one in results if entry.name in one.importance},
        "drifts": {one.model: _drift_of(one, entry.name) for one in results if _drift_of(one, entry.name)},
    }


def _drift_of(result: ModelResult, feature: str) -> dict[str, Any] | None:
    columns = result.drift.columns if result.drift else ()
    return next((asdict(one) for one in columns if one.name == feature), None)
