"""The aggregates that need more than a sum, on pairs of keys, against a loop over events."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.features.views.aggregates.decay import RENEWED_HALF_LIVES
from proml_kedro.features.views.windows import snapshot_sql
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.features import FeatureViewSpec, window_length
from tiers import examples

Event = tuple[str | None, int | None, datetime | None, float | None, str | None]

# Clocks go forward and back in New York on these days; 1970 lies in between for the last.
STARTS = [
    datetime(2013, 3, 10, 5, tzinfo=UTC),
    datetime(2013, 11, 3, 4, tzinfo=UTC),
    datetime(1969, 12, 31, tzinfo=UTC),
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [("k", pa.string()), ("j", pa.int64()), ("t", pa.timestamp("us", "UTC")), ("x", pa.float64()), ("s", pa.string())]
)
KEYS = {"k": "CAST(k AS VARCHAR)", "j": "CAST(j AS BIGINT)"}
FEATURES: dict[str, Any] = {
    "std": {"agg": "std", "expression": "x"},
    "last": {"agg": "last", "expression": "x"},
    "word": {"agg": "last", "expression": "s", "dtype": "str", "filter": "s <> 'c'"},
    "words": {"agg": "count_distinct", "expression": "s"},
    "numbers": {"agg": "count_distinct", "expression": "round(x)", "filter": "x > 0"},
    "rate": {"agg": "rate", "expression": "x > 1 -- the big ones"},
    "median": {"agg": "quantile", "expression": "x", "q": 0.5},
    "upper": {"agg": "quantile", "expression": "x", "q": 0.9, "filter": "s = 'a'"},
    "mean": {"agg": "mean", "expression": "x"},
}


def make_view(hop: timedelta, windows: list[str], delay: timedelta, features: dict[str, Any]) -> FeatureViewSpec:
    return FeatureViewSpec.model_validate(
        {
            "key": ["k", "j"],
            "source": {"table": "events", "event_time": "t", "delay": format_duration(delay)},
            "snapshot": format_duration(hop),
            "defaults": {"windows": windows},
            "features": features,
        }
    )


def compute(view: FeatureViewSpec, events: list[Event]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The snapshots of each pair of keys, in order of time."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = pa.Table.from_pylist([dict(zip(SCHEMA.names, one, strict=True)) for one in events], SCHEMA)
        table = table.append_column("file_row_number", pa.array(range(len(events)), pa.int64()))
        connection.register("events", table)
        query = f"SELECT * FROM ({snapshot_sql(view, 'events', KEYS)}) ORDER BY k, j, event_timestamp"
        result = connection.sql(query).to_arrow_table()
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in result.to_pylist():
        rows.setdefault((row["k"], row["j"]), []).append(row)
    return rows


def brute_force(inside: list[Event], name: str) -> Any:
    """One feature of the events in a window, which are in the order they became known."""
    x = [one[3] for one in inside if one[3] is not None]
    upper = [one[3] for one in inside if one[3] is not None and one[4] == "a"]
    words = [one[4] for one in inside if one[4] is not None]
    return {
        "std": lambda: statistics.stdev(x) if len(x) > 1 else None,
        "last": lambda: x[-1] if x else None,
        "word": lambda: next((one for one in reversed(words) if one != "c"), None),
        "words": lambda: len(set(words)),
        "numbers": lambda: len({math.copysign(math.floor(abs(one) + 0.5), one) for one in x if one > 0}),
        "rate": lambda: sum(one > 1 for one in x) / len(x) if x else None,
        "median": lambda: statistics.median(x) if x else None,
        "upper": lambda: float(np.quantile(upper, 0.9)) if upper else None,
        "mean": lambda: math.fsum(x) / len(x) if x else None,
    }[name]()


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Event], timedelta, list[str], timedelta]:
    start = draw(st.sampled_from(STARTS))
    hop = draw(st.sampled_from([timedelta(seconds=10), timedelta(minutes=15), timedelta(hours=1)]))
    windows = draw(st.lists(st.sampled_from([1, 2, 3, 5]), min_size=1, max_size=3, unique=True))
    # Whole hops often, so that events fall on ticks, on the edges of windows and on one another.
    offset = st.integers(0, 12).map(float) | st.floats(0, 12)
    event = st.tuples(
        st.sampled_from(["a", "b", None]),
        st.sampled_from([1, 2, None]),
        st.none() | offset.map(lambda hops: start + hops * hop),
        st.none() | st.integers(-3, 3).map(float) | st.floats(-100, 100, width=32),
        st.sampled_from(["a", "b", "c", None]),
    )
    delay = draw(st.sampled_from([timedelta(0), timedelta(seconds=7), hop, 2 * hop]))
    names = [format_duration(n * hop) for n in windows] + draw(st.sampled_from([[], ["all"]]))
    return draw(st.lists(event, max_size=30)), hop, names, delay


def by_key(events: list[Event], delay: timedelta) -> dict[tuple[str, int], list[Event]]:
    """The events of each pair of keys in the order they become known, with that moment in place of their own."""
    result: dict[tuple[str, int], list[Event]] = {}
    for k, j, t, x, s in events:
        if k is not None and j is not None and t is not None:
            result.setdefault((k, j), []).append((k, j, t + delay, x, s))
    return {key: sorted(known, key=lambda one: one[2]) for key, known in result.items()}


def first_tick(known: list[Event], hop: timedelta) -> datetime:
    return EPOCH + (known[0][2] - EPOCH) // hop * hop + hop


@examples(fast=30, whole=150)
@given(streams())
def test_every_tick_agrees_with_a_loop_over_events(case: tuple[list[Event], timedelta, list[str], timedelta]) -> None:
    events, hop, windows, delay = case
    snapshots = compute(make_view(hop, windows, delay, FEATURES), events)
    grouped = by_key(events, delay)
    assert set(snapshots) == set(grouped)
    for key, rows in snapshots.items():
        known, ticks = grouped[key], [row["event_timestamp"] for row in rows]
        assert ticks == sorted(set(ticks))
        for step, window in itertools.product(range(25), windows):
            tick = first_tick(known, hop) + step * hop
            row, length = rows[bisect.bisect_right(ticks, tick) - 1], window_length(window)
            inside = [one for one in known if one[2] < tick and (length is None or tick - length <= one[2])]
            for name in FEATURES:
                expected, got = brute_force(inside, name), row[f"{name}_{window}"]
                if isinstance(expected, float):
                    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9), (tick, name, window)
                else:
                    assert got == expected, (tick, name, window)


@examples(fast=20, whole=100)
@given(streams(), st.sampled_from([1, 3, 7]))
def test_decayed_sums_at_their_ticks(
    case: tuple[list[Event], timedelta, list[str], timedelta], half_lives: int
) -> None:
    events, hop, windows, delay = case
    half_life = half_lives * hop
    # Far apart in time too, so that they fall into several blocks.
    events = [
        one if i % 3 or not one[2] else (*one[:2], one[2] + 200 * i * half_life, *one[3:])
        for i, one in enumerate(events)
    ]
    decay = {"agg": "decay", "expression": "x", "half_life": format_duration(half_life)}
    view = make_view(hop, [], delay, {"faded": decay, "within": {**decay, "windows": windows}})
    snapshots, grouped = compute(view, events), by_key(events, delay)
    assert set(snapshots) == set(grouped)
    for key, rows in snapshots.items():
        for row, (name, window) in itertools.product(rows, [("faded", "all"), *(("within", one) for one in windows)]):
            tick, length = row["event_timestamp"], window_length(window)
            terms = [
                x * 2.0 ** (-((tick - t) / half_life))
                for _, _, t, x, _ in grouped[key]
                if t < tick and (length is None or tick - length <= t) and x is not None
            ]
            # Of terms that cancel out, what is left is as exact as the largest of them.
            size = max(map(abs, terms), default=0)
            assert row[f"{name}_{window}"] == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-11 * size + 1e-70)


def one_key(values: list[float | None], step: timedelta = timedelta(minutes=1)) -> list[Event]:
    return [("a", 1, STARTS[0] + i * step, x, None) for i, x in enumerate(values)]


def test_decayed_sums_are_renewed_until_little_is_left() -> None:
    decay = {"agg": "decay", "expression": "x", "half_life": "8h"}
    view = make_view(timedelta(hours=1), [], timedelta(0), {"faded": decay})
    rows = compute(view, [("a", 1, STARTS[0], 1.0, None), ("a", 1, STARTS[0] + timedelta(hours=5), 0.0, None)])["a", 1]
    hours = [(row["event_timestamp"] - STARTS[0]) // timedelta(hours=1) for row in rows]
    assert hours == [1, 3, 5, 6, *range(8, 87, 2)]
    assert [row["faded_all"] for row in rows] == pytest.approx([0.5 ** (one / 8) for one in hours], rel=1e-12)
    assert rows[-1]["faded_all"] < 2**-RENEWED_HALF_LIVES


def test_the_spread_of_large_values_keeps_its_digits() -> None:
    """A sum of squares would have three digits left; values shifted by the key's mean would have as few."""
    generator = np.random.default_rng(1)
    values = np.concatenate([level + generator.normal(0, 1, 50) for level in (1e6, 0, -1e6)])
    view = make_view(timedelta(minutes=1), ["40m"], timedelta(0), {"std": {"agg": "std", "expression": "x"}})
    rows = compute(view, one_key(values.tolist()))["a", 1]
    for end in (45, 95, 150):
        expected = statistics.stdev(values[end - 40 : end].tolist())
        assert 0.5 < expected < 1.5
        assert rows[end - 1]["std_40m"] == pytest.approx(expected, rel=1e-9)


def test_equal_values_have_no_spread() -> None:
    view = make_view(timedelta(minutes=1), ["all"], timedelta(0), {"std": {"agg": "std", "expression": "x"}})
    rows = compute(view, one_key([0.1] * 1000))["a", 1]
    assert rows[0]["std_all"] is None
    assert max(row["std_all"] for row in rows[1:]) < 1e-15


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_do_no_harm(bad: float) -> None:
    features = {name: FEATURES[name] for name in ("std", "median", "rate", "mean")}
    features["faded"] = {"agg": "decay", "expression": "x", "half_life": "1h"}
    view = make_view(timedelta(hours=1), ["1h", "all"], timedelta(0), features)
    rows = compute(view, one_key([1.0, bad, 3.0, 5.0]))["a", 1]
    if math.isnan(bad):
        assert rows[0]["std_all"] == 2.0
        assert rows[0]["faded_all"] == pytest.approx(2**-1 + 3 * 2 ** (-58 / 60) + 5 * 2 ** (-57 / 60))
        assert rows[0]["median_1h"] == 3.0
    else:
        assert (rows[0]["std_all"], rows[0]["faded_all"], rows[0]["mean_all"]) == (None, bad, bad)
        assert rows[0]["median_1h"] == (4.0 if bad > 0 else 2.0)


def test_of_two_values_known_at_once_the_later_row_is_last() -> None:
    features = {"last": {"agg": "last", "expression": "x"}}
    view = make_view(timedelta(hours=1), ["1h"], timedelta(0), features)
    rows = compute(view, one_key([3.0, 1.0, None, 2.0, 1.0], timedelta(0)))["a", 1]
    assert [row["last_1h"] for row in rows] == [1.0, None]


def test_nothing_there() -> None:
    features = FEATURES | {"faded": {"agg": "decay", "expression": "x", "half_life": "1h", "windows": ["1h"]}}
    view = make_view(timedelta(hours=1), ["1h"], timedelta(0), features)
    gone = compute(view, [("a", 1, STARTS[0], None, None)])["a", 1]
    zeros = {"words", "numbers", "faded"}
    assert {name for name in features if gone[0][f"{name}_1h"] == 0} == zeros
    assert all(gone[0][f"{name}_1h"] is None for name in features if name not in zeros)
    assert {name for name, one in view.features.items() if one.is_zero_when_empty} == zeros
