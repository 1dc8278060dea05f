"""Feature views that a problem can have: what comes with an example, what is known of its keys, and what happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from proml_kedro.authoring.look import Column, Table
from proml_kedro.authoring.moment_of import share_after, undecided_moments
from proml_kedro.authoring.names import in_sql, is_identifier
from proml_kedro.authoring.propose import Proposal
from proml_kedro.authoring.relate import Link, step_of
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.training_set import LABEL

_AMOUNTS = 5
"""Columns of events that are aggregated."""


@dataclass(frozen=True)
class View:
    """Feature view.

    Attributes:
        name: Its name.
        head: Its keys of YAML, each as one line.
        features: Feature → its YAML.
        comment: What it is.
        notes: Feature → what to ask about it.
        left_out: Column → why it is no feature.
    """

    name: str
    head: dict[str, Any]
    features: dict[str, dict[str, Any]]
    comment: str
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def find_views(found: Proposal) -> list[View]:
    """Propose feature views.

    Args:
        found: The problem.
    """
    views = [_request(found)] if any(found.request_columns()) else []
    taken = {one.name for one in views}
    for view in _stored(found):
        name = view.name if view.name not in taken else f"{view.name}_by_{view.head['key']}"
        taken.add(name)
        views.append(View(name, view.head, view.features, view.comment, view.notes, view.left_out))
    return views


def _request(found: Proposal) -> View:
    examples = found.examples
    features = {one.name: {"dtype": one.dtype} for one in found.request_columns()}
    own = found.left_out.get(examples.name, {})
    name = "example" if examples.name == LABEL else examples.name
    comment = "comes with each example, and with each request for a score"
    return View(name, {"source": "request"}, features, comment, found.doubts.get(examples.name, {}), own)


def _stored(found: Proposal) -> Iterator[View]:
    if found.moment.column is None:
        return
    for link in found.links:
        table = found.tables[link.table]
        view = _attributes(found, table, link) if link.is_unique else _history(found, table, link)
        if view is not None and view.features:
            yield view
    linked = {one.column for one in found.links}
    for key in found.entities:
        if key not in linked or all(one.is_unique for one in found.links if one.column == key):
            yield _own_history(found, key)


def _attributes(found: Proposal, table: Table, link: Link) -> View:
    """Features of a table with one row a key."""
    out = dict(found.left_out.get(table.name, {}))
    features = {}
    for one in table.columns.values():
        if one.name in (link.other, link.column) or one.name in out:
            continue
        if one.dtype and one.different > 1 and one.name not in table.draft.undecided and not _is_name(one, table):
            features[one.name] = {"dtype": one.dtype}
        else:
            out[one.name] = (
                "has one value only" if one.different < 2 else "names rows" if one.dtype else f"is {one.type}"
            )
    comment = f"one row for each {link.column}; taken to hold at all times, so leave out what changes"
    return View(
        table.name, _head(link, {"table": table.name}), features, comment, found.doubts.get(table.name, {}), out
    )


def _is_name(column: Column, table: Table) -> bool:
    return column.dtype == "str" and column.known > 50 and column.different > column.known / 2


def _head(link: Link, source: dict[str, Any], snapshot: str | None = None) -> dict[str, Any]:
    return {"key": link.column, "source": source, **({"snapshot": snapshot} if snapshot else {})}


def _history(found: Proposal, table: Table, link: Link) -> View | None:
    """Features of a table with many rows a key: the latest observation of a series, or windows over events."""
    moments = [one for one in table.columns.values() if one.is_moment and one.known >= 0.99 * table.count]
    moments += [table.columns[name] for name in undecided_moments(table)]
    if not moments:
        return None
    at = _latest(table, moments)
    numbers = [one for one in table.columns.values() if _is_amount(one, table, link)]
    step = step_of(table, link.other, at.name) if at.is_moment else None
    if step is not None and numbers:
        source = {"table": table.name, "event_time": at.name, "ttl": format_duration(6 * step)}
        features = {one.name: {"dtype": one.dtype} for one in numbers}
        comment = f"the latest row of each {link.column}, one every {format_duration(step)}"
        return View(table.name, _head(link, source), features, comment)
    return View(
        table.name,
        _head(link, _events(found, table, at), "1d" if at.type in ("DATE", "VARCHAR") else "1h"),
        dict(_windowed(table, at, numbers[:_AMOUNTS])),
        f"what happened to each {link.column} before{_chosen(at, moments)}",
    )


def _latest(table: Table, moments: list[Column]) -> Column:
    """Return the moment that comes after the others in most rows: what a row says is known by then."""

    def after(column: Column) -> float:
        return sum(share_after(table, one.name, column.name) for one in moments if one.is_moment and column.is_moment)

    return max(moments, key=after)


def _chosen(at: Column, moments: list[Column]) -> str:
    return f"; {at.name} is the last of {', '.join(one.name for one in moments)}" if len(moments) > 1 else ""


def _is_amount(column: Column, table: Table, link: Link) -> bool:
    return (
        column.dtype in ("int", "float")
        and column.different > 1
        and column.name not in (link.other, link.column)
        and not is_identifier(column.name, table.name)
        and column.name not in table.draft.undecided
    )


def _events(found: Proposal, table: Table, at: Column) -> dict[str, Any]:
    """The source of events; those of a day are known when it is over, unless examples are of days themselves."""
    source = {"table": table.name, "event_time": at.name}
    return {**source, "delay": "1d"} if at.type in ("DATE", "VARCHAR") and not found.moment.is_day else source


def _windowed(table: Table, at: Column, numbers: list[Column]) -> Iterator[tuple[str, dict[str, Any]]]:
    windows = _windows(at)
    yield _fresh("events", table), {"agg": "count", "windows": windows}
    for one in numbers:
        agg = "sum" if one.least >= 0 else "mean"
        yield one.name, {"agg": agg, "expression": in_sql(one.name), "windows": windows}


def _fresh(name: str, table: Table) -> str:
    return name if name not in table.columns else f"{name}_count"


def _windows(at: Column) -> list[str]:
    if not at.is_moment:  # not decided yet
        return ["7d", "30d", "all"]
    span = at.most - at.least
    days = span.days if isinstance(span, timedelta) else int(span)
    near = ["7d", "30d"] if days >= 60 else ["1d", "7d"] if days >= 10 else ["1h", "24h"]
    return [*(near if at.type != "DATE" or days >= 10 else ["1d"]), "all"]


def _own_history(found: Proposal, key: str) -> View:
    """How often the key was in earlier examples."""
    examples, column = found.examples, found.moment.column
    at = examples.columns[str(column)]
    source = {"table": examples.name, "event_time": column}
    head = {"key": key, "source": source, "snapshot": "1d" if at.type == "DATE" else "1h"}
    features = {"count": {"agg": "count", "windows": _windows(at)}}
    comment = (
        f"earlier rows of the same {key}; their labels may be used once it is said when they are known: source.delay"
    )
    return View(f"{key}_history", head, features, comment)
