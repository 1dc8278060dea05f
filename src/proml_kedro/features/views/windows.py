"""Windowed features as SQL: aggregates over the events before each point of a clock.

The clock ticks every ``snapshot``. The value at tick g aggregates the events with ``g - window <= known_at < g``.
It can change only at two sorts of tick: the first one after an event is known, and the one at which the event leaves
a window. A snapshot has rows for these alone, so a fine clock costs no more than a coarse one. Decayed sums, which
change all the time, are written anew now and then until little is left of them.

Events are first summed up per tick; a window then is a RANGE frame over ticks, with no join of events to events. Where
an aggregate needs the events themselves, they stand beside the ticks in the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from proml_kedro.engine.duckdb import microseconds, quote
from proml_kedro.features.views.aggregates.base import Aggregate, Slot, floor_sql
from proml_kedro.spec.features import FeatureSource, FeatureViewSpec, window_length
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP


def snapshot_sql(view: FeatureViewSpec, relation: str, keys: Mapping[str, str]) -> str:
    """Return the snapshots of a windowed view, in SQL.

    Args:
        view: The view.
        relation: The table of events, as it stands after FROM. It has a column ``file_row_number`` if
            :func:`needs_order` says so.
        keys: The view's key columns, each with its value in SQL; null for a row that is nobody's.

    Returns:
        A SELECT of the keys, ``event_timestamp`` and ``created_timestamp`` (``TIMESTAMPTZ``, both the tick), and of
        each feature, with the SQL type of its dtype. At most one row for each key and tick.
        Events without a time or without a key take no part.
    """
    features = windowed(view)
    by = ", ".join(quote(name) for name in keys)
    slots = {name: Slot(i, by) for i, name in enumerate(features)}
    partials = [by, "__tick", *_partials(features, slots)]
    parts = [
        f"events AS ({_events_sql(view, features, relation, keys)})",
        f"partials AS (SELECT {', '.join(partials)} FROM events GROUP BY {by}, __tick)",
        f"ticks AS ({_ticks_sql(view, features, by)})",
    ]
    rows = f"SELECT *, true AS __is_tick FROM ticks LEFT JOIN partials USING ({by}, __tick)"
    frames = frames_of(features)
    for name, feature in features.items():
        used = dict.fromkeys((frames[feature.reach(one)], feature.reach(one)) for one in feature.windows)
        changes = feature.changes(slots[name], list(used))
        if changes is not None:
            parts.append(changes)
            rows += f" LEFT JOIN changes{slots[name].number} USING ({by}, __tick)"
    values = [slots[name].value for name, feature in features.items() if feature.from_events]
    if values:
        rows += f" UNION ALL BY NAME SELECT {by}, __tick, {', '.join(values)}, false AS __is_tick FROM events"
    return f"""
WITH {", ".join(parts)}
SELECT {by}, make_timestamptz(__tick) AS {EVENT_TIMESTAMP}, make_timestamptz(__tick) AS {CREATED_TIMESTAMP},
{", ".join(_values(features, slots))}
FROM ({rows})
WINDOW {", ".join(window_clauses(features, view.snapshot, by))}
QUALIFY __is_tick"""


def windowed(view: FeatureViewSpec) -> dict[str, Aggregate]:
    """Return the aggregates of a view by name."""
    return {name: feature for name, feature in view.features.items() if isinstance(feature, Aggregate)}


def _partials(features: Mapping[str, Aggregate], slots: Mapping[str, Slot]) -> Iterator[str]:
    for name, feature in features.items():
        for part, sql in feature.partials(slots[name]).items():
            yield f"{sql} AS {slots[name].column(part)}"


def known_at(source: FeatureSource) -> str:
    """Return when an event is known, in SQL; null when it has no time, or one that is no point on the clock."""
    time = f"CAST({quote(source.event_time or '')} AS TIMESTAMPTZ)"
    known = f"{time} + to_microseconds({microseconds(source.delay)})" if source.delay else time
    return f"CASE WHEN isfinite({time}) THEN {known} END"


def needs_order(view: FeatureViewSpec) -> bool:
    """Return whether the order of the table's rows matters to a view."""
    return any(feature.reads_position for feature in windowed(view).values())


def _events_sql(
    view: FeatureViewSpec, features: Mapping[str, Aggregate], relation: str, keys: Mapping[str, str]
) -> str:
    """The events, each with the tick it is first counted at, in microseconds, and what it gives to every feature."""
    assert not isinstance(view.source, str)  # noqa: S101 - for the type checker: windowed views have a table
    hop = microseconds(view.snapshot)
    columns = [f"{sql} AS {quote(name)}" for name, sql in keys.items()]
    columns.append(f"{floor_sql('__known', hop)} + {hop} AS __tick")
    if any(feature.reads_known for feature in features.values()):
        columns.append("__known")
    if needs_order(view):
        columns.append("file_row_number AS __position")
    columns += [f"{feature.value_sql()} AS __v{i}" for i, feature in enumerate(features.values())]
    present = " AND ".join(f"{sql} IS NOT NULL" for sql in keys.values())
    return (
        f"SELECT {', '.join(columns)} FROM (SELECT *, epoch_us({known_at(view.source)}) AS __known FROM {relation}) "
        f"WHERE __known IS NOT NULL AND {present}"
    )


def _ticks_sql(view: FeatureViewSpec, features: Mapping[str, Aggregate], by: str) -> str:
    """The keys' ticks at which a value is written."""
    lengths = dict.fromkeys(window_length(window) for one in features.values() for window in one.windows)
    # An event leaves a window one window after the tick it entered at.
    leaving = "".join(f", __tick + {microseconds(one)}" for one in lengths if one is not None)
    query = f"SELECT {by}, unnest([__tick{leaving}]) AS __tick FROM partials"
    for step, times in _renewals(features, view.snapshot).items():
        us = microseconds(step)
        # The next event's tick begins anew, so none is needed from there on.
        following = f"lead(__tick) OVER (PARTITION BY {by} ORDER BY __tick)"
        query += (
            f" UNION ALL SELECT {by}, unnest(range(__tick + {us}, least(__following, __tick + {us * times + 1}), {us}))"
            f" FROM (SELECT {by}, __tick, {following} AS __following FROM partials)"
        )
    return f"SELECT DISTINCT {by}, __tick FROM ({query})"


def _renewals(features: Mapping[str, Aggregate], snapshot: timedelta) -> dict[timedelta, int]:
    """How values that change by themselves are written anew after an event: step → how many of them."""
    result: dict[timedelta, int] = {}
    for feature in features.values():
        if renewal := feature.renewal(snapshot):
            step, times = renewal
            result[step] = max(result.get(step, 0), times)
    return result


def frames_of(features: Mapping[str, Aggregate]) -> dict[timedelta | None, str]:
    """Return the length of each frame once, with its name; None for the one that reaches back to the beginning."""
    lengths = dict.fromkeys(feature.reach(window) for feature in features.values() for window in feature.windows)
    return {length: f"w{position}" for position, length in enumerate([None, *(one for one in lengths if one)])}


def _values(features: Mapping[str, Aggregate], slots: Mapping[str, Slot]) -> Iterator[str]:
    frames = frames_of(features)
    for name, feature in features.items():
        for window in dict.fromkeys(feature.windows):
            yield f"{feature.final(slots[name], frames[feature.reach(window)])} AS {quote(f'{name}_{window}')}"


def window_clauses(features: Mapping[str, Aggregate], hop: timedelta, by: str) -> Iterator[str]:
    """Yield what stands after WINDOW.

    Args:
        features: The aggregates of a view.
        hop: Step of its clock.
        by: Its keys, as they stand after PARTITION BY.
    """
    for length, name in frames_of(features).items():
        # Ticks g - window + hop to g hold the events known from g - window up to, but not at, g.
        start = "UNBOUNDED" if length is None else str(microseconds(length - hop))
        yield f"{name} AS (PARTITION BY {by} ORDER BY __tick RANGE BETWEEN {start} PRECEDING AND CURRENT ROW)"
