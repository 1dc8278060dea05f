"""Features as text and JSON, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from proml_kedro.features.views.freshness import Freshness
from proml_kedro.marketplace.entry import REQUEST, Entry
from proml_kedro.marketplace.index import SearchResult

if TYPE_CHECKING:
    from proml_kedro.features.online.lookup import OnlineValue

_SHOWN_FACETS = 5


def table(rows: Iterable[Sequence[str]]) -> str:
    """Align the columns of rows."""
    rows = [tuple(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def search_as_text(found: SearchResult, of: int) -> str:
    """Render the features that were found, how many they are, and the counts of their facets."""
    parts = []
    if found.entries:
        heading = ("feature", "type", "window", "key", "owner", "found in", "description")
        rows = [
            (
                one.name,
                one.dtype,
                one.window or "-",
                one.entity,
                one.owner or "-",
                ", ".join(places) or "-",
                one.description or "-",
            )
            for one, places in zip(found.entries, found.places, strict=True)
        ]
        parts += [table([heading, *rows]), ""]
    for name, counts in found.facets.items():
        if len(counts) > 1:
            shown = [f"{value or '-'} {number}" for value, number in list(counts.items())[:_SHOWN_FACETS]]
            more = ", …" if len(counts) > _SHOWN_FACETS else ""
            parts.append(f"{name.replace('_', ' ') + ':':<14} {', '.join(shown)}{more}")
    if len(found.alone) > 1:
        parts.append(f"not together; alone: {', '.join(f'{word} {count}' for word, count in found.alone.items())}")
    shown_of = f", {len(found.entries)} shown" if len(found.entries) < found.total else ""
    parts.append(f"{found.total:,} of {of:,} features{shown_of}, {found.seconds * 1e3:.1f} ms")
    return "\n".join(parts)


def search_as_json(found: SearchResult) -> str:
    """Render the search result as JSON."""
    content = {
        "total": found.total,
        "milliseconds": round(found.seconds * 1e3, 3),
        "facets": found.facets,
        "features": [
            {**asdict(one), "found_in": list(places)} for one, places in zip(found.entries, found.places, strict=True)
        ],
    }
    return json.dumps(content, ensure_ascii=False)


def description_as_text(entry: Entry, fresh: Freshness | None, similar: Sequence[tuple[float, Entry]]) -> str:
    """Render all that is known of a feature."""
    lines = [
        ("description", entry.description or "none: say what it means"),
        ("problem", entry.problem),
        ("type", f"{entry.dtype}, {entry.feature_type}"),
        ("key", _key(entry)),
        ("window", f"{entry.window}, changes every {entry.snapshot}" if entry.window else ""),
        ("definition", entry.definition),
        ("declared at", entry.place),
        ("owner", entry.owner),
        ("tags", entry.tags),
        ("lineage", lineage(entry)),
        ("bundles", entry.bundles.replace(",", ", ")),
        ("importance", "" if entry.importance is None else f"{entry.importance:.1%} at most"),
        ("missing", "" if entry.null_share is None else f"{entry.null_share:.2%} of the examples"),
        ("known after", entry.delay),
        ("good for", entry.ttl),
        ("newest", _newest(entry, fresh)),
        *(("similar", f"{one.name} ({likeness:.0%}) {one.description}".rstrip()) for likeness, one in similar),
    ]
    return "\n".join([entry.name, table((f"  {name}", value) for name, value in lines if value)])


def _key(entry: Entry) -> str:
    if entry.entity != REQUEST:
        return entry.entity
    return "none: sent with each request" if entry.table else "none: computed from other features for each request"


def lineage(entry: Entry) -> str:
    """Render the way from the file to the models."""
    origin = f"{entry.source} [{entry.table}]" if entry.table else entry.expression
    steps = [origin, entry.view, entry.name]
    return " -> ".join([*steps, entry.models.replace(",", ", ") or "no model"])


def _newest(entry: Entry, fresh: Freshness | None) -> str:
    if entry.entity == REQUEST:
        return ""
    if fresh is None:
        return "not computed yet: `kedro run --pipelines=features`"
    if not entry.event_time:
        return f"does not change ({fresh.rows:,} rows)"
    return f"{moment(fresh.newest)} ({fresh.rows:,} rows)" if fresh.newest else "no rows"


def moment(value: datetime) -> str:
    """Render a moment to the second, in its own time zone."""
    return value.isoformat(sep=" ", timespec="seconds")


def description_as_json(entry: Entry, fresh: Freshness | None, similar: Sequence[tuple[float, Entry]]) -> str:
    """Render the description of a feature as JSON."""
    content: dict[str, Any] = asdict(entry) | {"definition": entry.definition}
    content["rows"] = fresh.rows if fresh else None
    content["newest"] = fresh.newest.isoformat() if fresh and fresh.newest else None
    content["similar"] = [
        {"name": one.name, "problem": one.problem, "likeness": round(likeness, 3)} for likeness, one in similar
    ]
    return json.dumps(content, ensure_ascii=False)


def values_as_text(values: Mapping[str, OnlineValue], as_of: datetime) -> str:
    """Render online values with their moments and ages."""
    notes = {"good": "", "expired": "expired", "later": "not known yet then", "unknown": "nothing stored"}
    rows = [("feature", "value", "known since", "age", "")]
    for name, one in values.items():
        since = moment(one.moment) if one.moment else "-"
        age = duration((as_of - one.moment).total_seconds()) if one.moment and one.state != "later" else "-"
        rows.append((name, "-" if one.value is None else str(one.value), since, age, notes[one.state]))
    return f"{table(rows)}\n\nas of {moment(as_of)}"


def values_as_json(values: Mapping[str, OnlineValue], as_of: datetime) -> str:
    """Render the online values as JSON."""
    content = {
        name: {"value": one.value, "moment": one.moment.isoformat() if one.moment else None, "state": one.state}
        for name, one in values.items()
    }
    return json.dumps({"as_of": as_of.isoformat(), "features": content}, ensure_ascii=False, default=float)


def consistency_as_text(result: Mapping[str, Any]) -> str:
    """Render how each feature compares. Keys are shown as digests only."""
    rows = [
        (
            "feature",
            "as of",
            "keys",
            "values",
            "differ",
            "only offline",
            "only online",
            "worst keys: relative difference",
        )
    ]
    for one in result["comparisons"]:
        worst = ", ".join(
            f"{key}: {value if isinstance(value, str) else f'{value:.2g}'}" for key, value in one["worst"].items()
        )
        counts = (one["cells"], one["present"], one["mismatches"], one["only_offline"], one["only_online"])
        rows.append((one["feature"], one["as_of"], *map(str, counts), worst))
    sums = f"{result['mismatches']:,} of {result['present']:,} values differ, in {result['features']} features"
    return f"{table(rows)}\n\n{sums}"


def duration(seconds: float) -> str:
    """Render a length of time in its two largest units.

    >>> duration(93784)
    '1 d 2 h'
    """
    parts: list[str] = []
    rest = int(seconds)
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
