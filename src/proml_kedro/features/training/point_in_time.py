"""The point-in-time join as SQL: to each row what was known at its moment.

DuckDB's ASOF JOIN finds the latest value at or before a moment by sorting both sides once; a join on a range of time
with a window function over all matches, which is what Feast's own stores use, needs memory for every match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proml_kedro.engine.duckdb import microseconds, moment_literal, parquet_glob, quote


@dataclass(frozen=True)
class AsofView:
    """A feature view that is joined.

    Attributes:
        path: Parquet file, or glob of such.
        keys: Column of the entity rows → column of the file.
        features: Column of the result → column of the file.
        timestamp: Column of the file with the moment from which values hold.
        created: Column of the file that decides between rows of one key and moment, the latest first.
        ttl: How long a value holds; for ever when None.
    """

    path: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    timestamp: str
    created: str | None = None
    ttl: timedelta | None = None


ENTITY_ORDER = "ORDER BY __row"
"""What brings the rows of :func:`join_sql` into the order of the entity rows."""


def join_sql(entities: str, columns: Sequence[str], timestamp: str, views: Sequence[AsofView]) -> str:
    """Return each row of ``entities`` once, in no order, with the latest values at its moment or before.

    Where a key is null, no value is known or the value is older than the view's TTL, its features are null.

    Args:
        entities: The entity rows, as they stand after FROM.
        columns: Their columns.
        timestamp: The one with the moment.
        views: What to join.
    """
    rows = (
        f"SELECT *, CAST({quote(timestamp)} AS TIMESTAMPTZ) AS __moment, row_number() OVER () AS __row FROM {entities}"
    )
    # Only keys and moments are sorted for each view; the wide rows are put together at the end, by number. A chain of
    # joins would sort ever wider rows: over seven views it took twice the time and half as much memory again.
    parts = [f"entity AS MATERIALIZED ({rows})"]
    results = [f"entity.{quote(name)}" for name in columns]
    for position, view in enumerate(views):
        parts.append(f"joined{position} AS ({_joined_sql(view)})")
        results += [f"joined{position}.{quote(name)}" for name in view.features]
    joins = "".join(f"\nLEFT JOIN joined{position} USING (__row)" for position in range(len(views)))
    return f"WITH {', '.join(parts)}\nSELECT {', '.join(results)} FROM entity{joins}"


def _joined_sql(view: AsofView) -> str:
    """The numbers of the entity rows that have values, with those."""
    keys = "".join(f", {quote(name)}" for name in view.keys)
    values = ", ".join(f"{_value(source, view)} AS {quote(name)}" for name, source in view.features.items())
    same = "".join(f"entity.{quote(ours)} = known.{quote(theirs)} AND " for ours, theirs in view.keys.items())
    return (
        f"SELECT __row, {values} FROM (SELECT __row, __moment{keys} FROM entity) entity "
        f"ASOF JOIN ({_latest_created_sql(view)}) known ON {same}entity.__moment >= known.__moment"
    )


def _latest_created_sql(view: AsofView) -> str:
    columns = dict.fromkeys([*view.keys.values(), *view.features.values()])
    moment = f"CAST({quote(view.timestamp)} AS TIMESTAMPTZ)"
    query = (
        f"SELECT {', '.join(map(quote, columns))}, {moment} AS __moment FROM {parquet_glob(view.path)} "
        f"WHERE {quote(view.timestamp)} IS NOT NULL"
    )
    if view.created is None:
        return query
    by = ", ".join(map(quote, [*view.keys.values(), view.timestamp]))
    return f"{query} QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {quote(view.created)} DESC NULLS LAST) = 1"


def _value(source: str, view: AsofView) -> str:
    value = f"known.{quote(source)}"
    if view.ttl is None:
        return value
    limit = f"to_microseconds({microseconds(view.ttl)})"
    return f"CASE WHEN entity.__moment <= known.__moment + {limit} THEN {value} END"


def pull_sql(
    path: str,
    keys: Sequence[str],
    columns: Sequence[str],
    timestamp: str,
    start: datetime | None,
    end: datetime | None,
) -> str:
    """Return the rows of a feature table with a key and a moment from ``start`` to ``end``, both included."""
    conditions = [f"{quote(name)} IS NOT NULL" for name in (*keys, timestamp)]
    moment = f"CAST({quote(timestamp)} AS TIMESTAMPTZ)"
    conditions += [
        f"{moment} {sign} {moment_literal(limit)}" for sign, limit in ((">=", start), ("<=", end)) if limit is not None
    ]
    names = ", ".join(map(quote, dict.fromkeys([*keys, *columns, timestamp])))
    return f"SELECT {names} FROM {parquet_glob(path)} WHERE {' AND '.join(conditions)}"


def latest_sql(rows: str, keys: Sequence[str], order: Sequence[str]) -> str:
    """Return the last row of each key, by the columns in ``order``; of all rows when there are no keys."""
    by = f"PARTITION BY {', '.join(map(quote, keys))} " if keys else ""
    last = ", ".join(f"{quote(name)} DESC NULLS LAST" for name in order)
    return f"{rows} QUALIFY row_number() OVER ({by}ORDER BY {last}) = 1"
