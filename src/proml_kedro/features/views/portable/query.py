"""The queries of a view as one text for all engines, over what :mod:`.events` hands over.

No name needs quotes, NULLS and types are written out, and no moment is other than a whole number. The clock is that of
:mod:`proml_kedro.features.views.windows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proml_kedro.engine.duckdb import microseconds
from proml_kedro.features.views.aggregates.base import TICK, floor_sql
from proml_kedro.features.views.portable.carried import RANK, Carried
from proml_kedro.features.views.portable.events import KNOWN, POSITION
from proml_kedro.features.views.portable.exact_sums import sizes_sql
from proml_kedro.features.views.windows import frames_of, window_clauses, windowed
from proml_kedro.spec.features import FeatureViewSpec, window_length

SOURCE = "handed"
"""The name under which an engine knows the rows that were handed over."""


def keys_of(view: FeatureViewSpec) -> list[str]:
    """Return the names of a view's keys on an engine."""
    return [f"k{place}" for place in range(len(view.key))]


def columns_query(view: FeatureViewSpec, values: Mapping[str, str]) -> str:
    """Return the query of a view's columns as they stand in the table: the last row for each key and time.

    Args:
        view: The view.
        values: Feature → its value in a row.
    """
    by = ", ".join(keys_of(view))
    columns = ", ".join(f"{sql} AS f{place}" for place, sql in enumerate(values.values()))
    names = ", ".join(f"f{place}" for place in range(len(values)))
    row = f"row_number() OVER (PARTITION BY {by}, {KNOWN} ORDER BY {POSITION} DESC NULLS LAST)"
    return f"""
SELECT {by}, {KNOWN} AS {TICK}, {names} FROM (SELECT {by}, {KNOWN}, {columns}, {row} AS __row FROM {SOURCE}) AS numbered
WHERE __row = 1 ORDER BY {by}, {TICK}"""


def sizes_query(features: Mapping[str, Carried], values: Mapping[str, str]) -> str | None:
    """Return the query for the sizes of numbers that are added up; None when none are.

    Args:
        features: The view's aggregates.
        values: What an event gives to each.
    """
    added = {name: one.slot for name, one in features.items() if one.adds_up}
    if not added:
        return None
    columns = ", ".join(f"{values[name]} AS {slot.value}" for name, slot in added.items())
    sizes = ", ".join(sizes_sql(slot.value, f"s{slot.number}") for slot in added.values())
    return f"SELECT {sizes} FROM (SELECT {columns} FROM {SOURCE}) AS numbers"


def snapshot_query(view: FeatureViewSpec, features: Mapping[str, Carried], values: Mapping[str, str]) -> str:
    """Return the query of a windowed view: the keys, the tick, and ``f0`` … for its features with their windows.

    Args:
        view: The view.
        features: Its aggregates.
        values: What an event gives to each.
    """
    by = ", ".join(keys_of(view))
    kept = [f"{sql} AS {one.slot.column(part)}" for one in features.values() for part, sql in one.partials()]
    parts = [
        *_events(view, features, values),
        f"partials AS (SELECT {', '.join([by, TICK, *kept])} FROM events GROUP BY {by}, {TICK})",
        f"ticks AS ({_ticks(view, by)})",
    ]
    rows = f"SELECT * FROM ticks LEFT JOIN partials USING ({by}, {TICK})"
    frames = frames_of(windowed(view))
    for one in features.values():
        lengths = dict.fromkeys(map(one.feature.reach, one.feature.windows))
        changes = one.feature.changes(one.slot, [(frames[length], length) for length in lengths])
        if changes is not None:
            parts.append(changes)
            rows += f" LEFT JOIN changes{one.slot.number} USING ({by}, {TICK})"
    finals, looked_up, joins = _finals(view, features, by)
    return f"""
WITH {", ".join(parts)},
found AS (SELECT {by}, {TICK}, {", ".join(finals)} FROM ({rows}) AS counted
WINDOW {", ".join(window_clauses(windowed(view), view.snapshot, by))})
SELECT {", ".join([*(f"found.{key}" for key in keys_of(view)), f"found.{TICK}", *looked_up])} FROM found{joins}
ORDER BY {", ".join(f"found.{one}" for one in (*keys_of(view), TICK))}"""


def _events(view: FeatureViewSpec, features: Mapping[str, Carried], values: Mapping[str, str]) -> Iterator[str]:
    """The events with their tick, what each gives to every feature, and what is left of it for each limb."""
    hop = microseconds(view.snapshot)
    by = ", ".join(keys_of(view))
    columns = [by, f"{floor_sql(KNOWN, hop)} + {hop} AS {TICK}"]
    if any(one.reads_rank for one in features.values()):
        order = f"{KNOWN} NULLS LAST, {POSITION} NULLS LAST"
        columns.append(f"CAST(row_number() OVER (PARTITION BY {by} ORDER BY {order}) AS BIGINT) AS {RANK}")
    columns += [f"{values[name]} AS {one.slot.value}" for name, one in features.items()]
    query = f"SELECT {', '.join(columns)} FROM {SOURCE}"
    cuts = [list(one.limbs.cuts(one.slot.value, one.slot.column("x"))) for one in features.values() if one.limbs]
    for level in range(max(map(len, cuts), default=0)):
        more = ", ".join(one[level] for one in cuts if level < len(one))
        query = f"SELECT *, {more} FROM ({query}) AS level{level}"
    yield f"events AS ({query})"


def _ticks(view: FeatureViewSpec, by: str) -> str:
    """The keys' ticks at which a value is written: where events enter, and where they leave a window."""
    lengths = dict.fromkeys(window_length(window) for one in windowed(view).values() for window in one.windows)
    queries = [f"SELECT {by}, {TICK} FROM partials"]
    queries += [f"SELECT {by}, {TICK} + {microseconds(one)} AS {TICK} FROM partials" for one in lengths if one]
    return f"SELECT DISTINCT {by}, {TICK} FROM ({' UNION ALL '.join(queries)}) AS changing"


def _finals(view: FeatureViewSpec, features: Mapping[str, Carried], by: str) -> tuple[list[str], list[str], str]:
    """Columns of ``found``, what is selected of them, and the joins that look values up by the rank of an event."""
    frames = frames_of(windowed(view))
    finals, selected, joins, place = [], [], "", 0
    for one in features.values():
        for window in dict.fromkeys(one.feature.windows):
            finals.append(f"{one.final(frames[one.feature.reach(window)])} AS f{place}")
            selected.append(f"found.f{place} AS f{place}")
            if one.reads_rank:
                table = f"last{place}"
                same = " AND ".join(f"found.{key} = {table}.{key}" for key in keys_of(view))
                event = f"SELECT {by}, {RANK}, {one.slot.value} FROM events"
                joins += f" LEFT JOIN ({event}) AS {table} ON {same} AND found.f{place} = {table}.{RANK}"
                selected[-1] = f"{table}.{one.slot.value} AS f{place}"
            place += 1
    return finals, selected, joins
