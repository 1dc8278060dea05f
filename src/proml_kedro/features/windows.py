"""Windowed features as SQL: aggregates over the events before each point of a clock.

The clock ticks every ``snapshot``. The value at tick g aggregates the events with ``g - window <= known_at < g``.
It can change only at two sorts of tick: the first one after an event is known, and the one at which the event leaves
a window. A snapshot has rows for these alone, so a fine clock costs no more than a coarse one.

Events are first summed up per tick; a window then is a RANGE frame over ticks, with no join of events to events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from proml_kedro.features.sql import enclosed, microseconds, quote
from proml_kedro.spec.features import FeatureSource, FeatureViewSpec, WindowFeature, window_length

_PARTIALS = {
    "count": {"n": "count(__v{i})"},
    "sum": {"s": "fsum(__v{i})"},
    "mean": {"n": "count(__v{i})", "s": "fsum(__v{i})"},
    "min": {"m": "min(__v{i})"},
    "max": {"m": "max(__v{i})"},
}
_FINALS = {
    "count": "CAST(coalesce(sum(__n{i}) OVER {w}, 0) AS BIGINT)",
    "sum": "coalesce(fsum(__s{i}) OVER {w}, 0.0)",
    "mean": "fsum(__s{i}) OVER {w} / nullif(sum(__n{i}) OVER {w}, 0)",
    "min": "min(__m{i}) OVER {w}",
    "max": "max(__m{i}) OVER {w}",
}


def snapshot_sql(view: FeatureViewSpec, relation: str, keys: Mapping[str, str]) -> str:
    """The snapshots of a windowed view.

    Args:
        view: The view.
        relation: The table of events, as it stands after FROM.
        keys: The view's key columns with the SQL type to give them.

    Returns:
        A SELECT of the keys, ``event_timestamp`` and ``created_timestamp`` (``TIMESTAMPTZ``, both the tick), and a
        ``BIGINT`` for each count and a ``DOUBLE`` for every other feature. At most one row for each key and tick.
        Events without a time or without a key take no part.
    """
    features = _windowed(view)
    by = ", ".join(quote(name) for name in keys)
    partials = ", ".join(
        f"{sql.format(i=i)} AS __{name}{i}"
        for i, feature in enumerate(features.values())
        for name, sql in _PARTIALS[feature.agg].items()
    )
    # An event leaves a window one window after the tick it entered at.
    leaving = "".join(f", __tick + {microseconds(one)}" for one in _lengths(features) if one is not None)
    return f"""
WITH events AS ({_events_sql(view, features, relation, keys)}),
partials AS (SELECT {by}, __tick, {partials} FROM events GROUP BY {by}, __tick),
ticks AS (SELECT DISTINCT {by}, unnest([__tick{leaving}]) AS __tick FROM partials)
SELECT {by}, make_timestamptz(__tick) AS event_timestamp, make_timestamptz(__tick) AS created_timestamp,
{", ".join(_values(features))}
FROM ticks LEFT JOIN partials USING ({by}, __tick)
WINDOW {", ".join(_frames(features, view.snapshot, by))}"""


def _windowed(view: FeatureViewSpec) -> dict[str, WindowFeature]:
    return {name: feature for name, feature in view.features.items() if isinstance(feature, WindowFeature)}


def known_at(source: FeatureSource) -> str:
    """When an event is known, in SQL; null when the event has no time, or one that is no point on the clock."""
    time = f"CAST({quote(source.event_time or '')} AS TIMESTAMPTZ)"
    known = f"{time} + to_microseconds({microseconds(source.delay)})" if source.delay else time
    return f"CASE WHEN isfinite({time}) THEN {known} END"


def _events_sql(
    view: FeatureViewSpec, features: Mapping[str, WindowFeature], relation: str, keys: Mapping[str, str]
) -> str:
    """The events, each with the tick it is first counted at, in microseconds, and what it gives to every feature."""
    assert view.source != "request"  # noqa: S101 - for the type checker: windowed views have a table
    hop = microseconds(view.snapshot)
    columns = [f"CAST({quote(name)} AS {type_}) AS {quote(name)}" for name, type_ in keys.items()]
    # % keeps the sign of the dividend, so times before 1970 need the second one.
    columns.append(f"__known - ((__known % {hop}) + {hop}) % {hop} + {hop} AS __tick")
    columns += [f"{value_sql(feature)} AS __v{i}" for i, feature in enumerate(features.values())]
    present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in keys)
    return (
        f"SELECT {', '.join(columns)} FROM (SELECT *, epoch_us({known_at(view.source)}) AS __known FROM {relation}) "
        f"WHERE __known IS NOT NULL AND {present}"
    )


def value_sql(feature: WindowFeature) -> str:
    """What one event gives to an aggregate, in SQL; null when it takes no part."""
    value = enclosed(feature.expression) if feature.expression else "1"
    if feature.agg != "count":
        value = f"nullif(CAST({value} AS DOUBLE), 'nan'::DOUBLE)"
    return f"CASE WHEN {enclosed(feature.filter)} THEN {value} END" if feature.filter else value


def _lengths(features: Mapping[str, WindowFeature]) -> dict[timedelta | None, str]:
    """Each window's length once, with the name of its frame."""
    lengths = dict.fromkeys(window_length(window) for feature in features.values() for window in feature.windows)
    return {length: f"w{position}" for position, length in enumerate(lengths)}


def _values(features: Mapping[str, WindowFeature]) -> Iterator[str]:
    frames = _lengths(features)
    for i, (name, feature) in enumerate(features.items()):
        for window in dict.fromkeys(feature.windows):
            value = _FINALS[feature.agg].format(i=i, w=frames[window_length(window)])
            yield f"{value} AS {quote(f'{name}_{window}')}"


def _frames(features: Mapping[str, WindowFeature], hop: timedelta, by: str) -> Iterator[str]:
    for length, name in _lengths(features).items():
        # Ticks g - window + hop to g hold the events known from g - window up to, but not at, g.
        start = "UNBOUNDED" if length is None else str(microseconds(length - hop))
        yield f"{name} AS (PARTITION BY {by} ORDER BY __tick RANGE BETWEEN {start} PRECEDING AND CURRENT ROW)"
