"""The point-in-time join as SQL: to each row what was known at its moment.

DuckDB's ASOF JOIN finds the latest value at or before a moment by sorting both sides once; a join on a range of time
with a window function over all matches, which is what Feast's own stores use, needs memory for every match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proml_kedro.features.sql import literal, microseconds, parquet_glob, quote


@dataclass(frozen=True)
class AsofView:
    """A feature view as the join sees it.

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


def join_sql(entities: str, columns: Sequence[str], timestamp: str, views: Sequence[AsofView]) -> str:
    """Each row of ``entities`` once, in its order, with the latest values at its moment or before.

    Where a key is null, no value is known or the value is older than the view's TTL, its features are null.

    Args:
        entities: The entity rows, as they stand after FROM.
        columns: Their columns.
        timestamp: The one with the moment.
        views: What to join.
    """
    results = [f"entity.{quote(name)}" for name in columns]
    joins = []
    for position, view in enumerate(views):
        name = f"view{position}"
        joins.append(f"ASOF LEFT JOIN ({_latest_created_sql(view)}) {name} ON {_condition(name, view)}")
        results += [f"{_value(name, source, view)} AS {quote(result)}" for result, source in view.features.items()]
    return (
        f"SELECT {', '.join(results)} FROM (SELECT *, CAST({quote(timestamp)} AS TIMESTAMPTZ) AS __moment, "
        f"row_number() OVER () AS __row FROM {entities}) entity\n" + "\n".join(joins) + "\nORDER BY __row"
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
    by = ", ".join(map(quote, view.keys.values()))
    return (
        f"{query} QUALIFY row_number() OVER "
        f"(PARTITION BY {by}, {quote(view.timestamp)} ORDER BY {quote(view.created)} DESC NULLS LAST) = 1"
    )


def _condition(name: str, view: AsofView) -> str:
    keys = [f"entity.{quote(ours)} = {name}.{quote(theirs)}" for ours, theirs in view.keys.items()]
    return " AND ".join([*keys, f"entity.__moment >= {name}.__moment"])


def _value(name: str, source: str, view: AsofView) -> str:
    value = f"{name}.{quote(source)}"
    if view.ttl is None:
        return value
    limit = f"to_microseconds({microseconds(view.ttl)})"
    return f"CASE WHEN entity.__moment <= {name}.__moment + {limit} THEN {value} END"


def pull_sql(
    path: str,
    keys: Sequence[str],
    columns: Sequence[str],
    timestamp: str,
    start: datetime | None,
    end: datetime | None,
) -> str:
    """The rows of a feature table with a key and a moment from ``start`` to ``end``, both included."""
    conditions = [f"{quote(name)} IS NOT NULL" for name in (*keys, timestamp)]
    moment = f"CAST({quote(timestamp)} AS TIMESTAMPTZ)"
    conditions += [
        f"{moment} {sign} {moment_literal(limit)}" for sign, limit in ((">=", start), ("<=", end)) if limit is not None
    ]
    names = ", ".join(map(quote, dict.fromkeys([*keys, *columns, timestamp])))
    return f"SELECT {names} FROM {parquet_glob(path)} WHERE {' AND '.join(conditions)}"


def latest_sql(rows: str, keys: Sequence[str], order: Sequence[str]) -> str:
    """The last row of each key, by the columns in ``order``; of all rows when there are no keys."""
    by = f"PARTITION BY {', '.join(map(quote, keys))} " if keys else ""
    last = ", ".join(f"{quote(name)} DESC NULLS LAST" for name in order)
    return f"{rows} QUALIFY row_number() OVER ({by}ORDER BY {last}) = 1"


def moment_literal(moment: datetime) -> str:
    """A moment in SQL; without a time zone it is UTC."""
    return f"CAST({literal(moment.isoformat())} AS TIMESTAMPTZ)"
