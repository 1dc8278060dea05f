"""Windowed features against a plain loop over events."""

from __future__ import annotations

import bisect
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.features.views.windows import snapshot_sql
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.features import FeatureViewSpec, window_length
from tiers import examples

Event = tuple[str | None, datetime | None, float | None]

# Clocks go forward in New York at 07:00 UTC of this day, and 1970 lies in between for the other start.
STARTS = [datetime(2013, 3, 10, 5, tzinfo=UTC), datetime(1969, 12, 31, 22, tzinfo=UTC)]
SCHEMA = pa.schema([("k", pa.string()), ("t", pa.timestamp("us", "UTC")), ("x", pa.float64())])


def make_view(hop: timedelta, windows: list[str], delay: timedelta) -> FeatureViewSpec:
    amount = {"expression": "x", "windows": windows}
    features = {agg: {"agg": agg, **amount} for agg in ("sum", "mean", "min", "max")}
    features["values"] = {"agg": "count", **amount}
    features["rows"] = {"agg": "count", "windows": windows}
    features["big"] = {"agg": "count", "filter": "x > 1 -- not the small ones", "windows": windows}
    features["half"] = {"agg": "sum", "expression": "x / 2", "filter": "x > 1", "windows": windows}
    source = {"table": "events", "event_time": "t", "delay": format_duration(delay)}
    return FeatureViewSpec.model_validate(
        {"key": "k", "source": source, "snapshot": format_duration(hop), "features": features}
    )


def compute(view: FeatureViewSpec, events: list[Event]) -> dict[str, list[dict[str, Any]]]:
    """The snapshots of each key, in order of time."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = pa.Table.from_pylist([dict(zip(("k", "t", "x"), one, strict=True)) for one in events], SCHEMA)
        connection.register("events", table)
        result = connection.sql(
            f"SELECT * FROM ({snapshot_sql(view, 'events', {'k': 'CAST(k AS VARCHAR)'})}) ORDER BY k, event_timestamp"
        ).to_arrow_table()
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in result.to_pylist():
        rows.setdefault(row["k"], []).append(row)
    return rows


def brute_force(values: list[float | None], name: str) -> float | None:
    """One feature over the values of the events in a window."""
    present = [one for one in values if one is not None]
    big = [one for one in present if one > 1]
    return {
        "sum": lambda: math.fsum(present),
        "mean": lambda: math.fsum(present) / len(present) if present else None,
        "min": lambda: min(present, default=None),
        "max": lambda: max(present, default=None),
        "values": lambda: len(present),
        "rows": lambda: len(values),
        "big": lambda: len(big),
        "half": lambda: math.fsum(one / 2 for one in big),
    }[name]()


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Event], timedelta, list[str], timedelta]:
    start = draw(st.sampled_from(STARTS))
    hop = draw(st.sampled_from([timedelta(seconds=10), timedelta(minutes=15), timedelta(hours=1)]))
    windows = draw(st.lists(st.sampled_from([1, 2, 3, 5]), min_size=1, max_size=3, unique=True))
    # Whole hops often, so that events fall on ticks and on the edges of windows.
    offset = st.integers(0, 12).map(float) | st.floats(0, 12)
    event = st.tuples(
        st.sampled_from(["a", "b", None]),
        st.none() | offset.map(lambda hops: start + hops * hop),
        st.none() | st.floats(-100, 100, width=32),
    )
    delay = draw(st.sampled_from([timedelta(0), timedelta(seconds=7), hop, 2 * hop]))
    names = [format_duration(n * hop) for n in windows] + draw(st.sampled_from([[], ["all"]]))
    return draw(st.lists(event, max_size=25)), hop, names, delay


@examples(fast=30, whole=150)
@given(streams())
def test_every_tick_agrees_with_a_loop_over_events(case: tuple[list[Event], timedelta, list[str], timedelta]) -> None:
    events, hop, windows, delay = case
    view = make_view(hop, windows, delay)
    snapshots = compute(view, events)
    assert set(snapshots) == {k for k, t, _ in events if k is not None and t is not None}
    for key, rows in snapshots.items():
        known = [(t + delay, x) for k, t, x in events if k == key and t is not None]
        ticks = [row["event_timestamp"] for row in rows]
        assert ticks == sorted(set(ticks))
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        first = epoch + (min(t for t, _ in known) - epoch) // hop * hop + hop
        for step in range(25):
            tick = first + step * hop
            row = rows[bisect.bisect_right(ticks, tick) - 1]
            for name in ("sum", "mean", "min", "max", "values", "rows", "big", "half"):
                for window in windows:
                    length = window_length(window)
                    inside = [x for t, x in known if t < tick and (length is None or tick - length <= t)]
                    expected, got = brute_force(inside, name), row[f"{name}_{window}"]
                    if expected is None or isinstance(expected, int):
                        assert got == expected, (tick, name, window)
                    else:
                        assert got == pytest.approx(expected, rel=1e-9, abs=1e-9), (tick, name, window)


def test_rows_only_where_a_value_can_change() -> None:
    start = STARTS[0]
    view = make_view(timedelta(seconds=1), ["1h", "1d", "all"], timedelta(0))
    rows = compute(view, [("a", start, 1.0)])["a"]
    second = timedelta(seconds=1)
    assert [row["event_timestamp"] - start for row in rows] == [second, 3601 * second, 86401 * second]


def test_an_event_at_a_tick_counts_from_the_next_one() -> None:
    start = STARTS[0]
    view = make_view(timedelta(minutes=15), ["30m"], timedelta(0))
    rows = compute(view, [("a", start, 1.0)])["a"]
    minutes = {(row["event_timestamp"] - start) // timedelta(minutes=1): row["rows_30m"] for row in rows}
    assert minutes == {15: 1, 45: 0}


def test_not_a_number_and_infinite_times_take_no_part() -> None:
    view = make_view(timedelta(hours=1), ["all"], timedelta(0))
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE events AS SELECT 'a' AS k, t::TIMESTAMPTZ AS t, x FROM "
            "(VALUES ('2013-01-01', 'nan'::DOUBLE), ('2013-01-01', 2.0), ('infinity', 3.0), ('-infinity', 4.0)) v(t, x)"
        )
        sql = f"SELECT mean_all, max_all, rows_all FROM ({snapshot_sql(view, 'events', {'k': 'CAST(k AS VARCHAR)'})})"
        rows = connection.execute(sql).fetchall()
    assert rows == [(2.0, 2.0, 2)]
