"""Every aggregate on infinite, missing, huge and tiny values, against a loop over the rows of each window."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.engine.session import connect
from proml_kedro.extensions import aggregates
from proml_kedro.features.views.windows import snapshot_sql
from proml_kedro.spec.features import FeatureViewSpec, window_length
from proml_kedro.spec.hardware import HardwareSpec
from tiers import examples

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INF = math.inf
WINDOWS = ["2h", "5h", "all"]
OPTIONS: dict[str, dict[str, Any]] = {
    "decay": {"half_life": "2h"},
    "quantile": {"q": 0.3},
    "rate": {"expression": "x > 1"},
    "last": {"dtype": "float"},
}
NAMES = sorted(aggregates.names())
VIEW = FeatureViewSpec.model_validate(
    {
        "key": "k",
        "source": {"table": "events", "event_time": "t"},
        "snapshot": "1h",
        "features": {one: {"agg": one, "expression": "x", "windows": WINDOWS, **OPTIONS.get(one, {})} for one in NAMES},
    }
)

Event = tuple[int, float | None]
"""Hours after the start, and a value."""


def compute(streams: Mapping[int, list[Event]]) -> dict[int, list[dict[str, Any]]]:
    events = [(key, *event) for key, stream in streams.items() for event in stream]
    table = pa.table(
        {
            "k": pa.array([key for key, _, _ in events], pa.int64()),
            "t": pa.array([START + hours * HOUR for _, hours, _ in events], pa.timestamp("us", "UTC")),
            "x": pa.array([value for _, _, value in events], pa.float64()),
            "file_row_number": pa.array(range(len(events)), pa.int64()),
        }
    )
    with connect(HardwareSpec(threads=1, memory="300MB")) as session:
        session.register("events", table)
        rows = session.records(f"FROM ({snapshot_sql(VIEW, 'events', {'k': 'k'})}) ORDER BY k, event_timestamp")
    return {key: [row for row in rows if row["k"] == key] for key in streams}


def added(values: list[float]) -> float:
    if {INF, -INF} <= set(values):
        return math.nan
    return next((one for one in values if math.isinf(one)), None) or math.fsum(values)


def quantile(values: list[float]) -> float | None:
    with np.errstate(invalid="ignore"):
        ordered, place = sorted(values), 0.3 * (len(values) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if low == high or place == math.floor(place):
        return low
    if math.isinf(low):
        return None if math.isinf(high) else low
    return low + (high - low) * (place - math.floor(place))


def brute_force(inside: list[Event], name: str, tick: int) -> Any:
    """One aggregate of the events in a window, in the order they became known."""
    some = [(hours, value) for hours, value in inside if value is not None and not math.isnan(value)]
    x = [value for _, value in some]
    if name in ("count", "count_distinct"):
        return len(x) if name == "count" else len(set(x))
    if name == "sum":
        return added(x)
    if name == "decay":
        return added([value * 2.0 ** ((hours - tick) / 2) for hours, value in some])
    if name == "rate":  # of an expression: SQL takes not-a-number for larger than any number
        truths = [value > 1 or value != value for _, value in inside if value is not None]
        return sum(truths) / len(truths) if truths else None
    if not x:
        return None
    if name == "std":
        return None if len(x) < 2 or max(map(abs, x)) > 1e150 else statistics.stdev(x)
    mean = added(x) / len(x)
    return {
        "mean": None if math.isnan(mean) else mean,
        "min": min(x),
        "max": max(x),
        "last": x[-1],
        "quantile": quantile(x),
    }[name]


def same(got: Any, wanted: Any, size: float) -> bool:
    if got is None or wanted is None or not math.isfinite(wanted) or not math.isfinite(got):
        return bool(got is wanted or got == wanted or (got != got and wanted != wanted))
    # What cancels out leaves an error of rounding of the window's own values, and of no others.
    return bool(abs(got - wanted) <= 1e-15 * size + 1e-12 * abs(wanted) + 1e-240)


def check(events: list[Event], rows: list[dict[str, Any]]) -> None:
    ticks = [(row["event_timestamp"] - START) // HOUR for row in rows]
    known = sorted(events, key=lambda one: one[0])
    for tick in range(ticks[0], ticks[-1] + 3):
        row = rows[bisect_right(ticks, tick) - 1]
        written = (row["event_timestamp"] - START) // HOUR
        for window in WINDOWS:
            length = window_length(window)
            for name in NAMES:
                # A decayed sum holds as of the tick at which it was written.
                at = written if name == "decay" else tick
                start = -INF if length is None else at - length // HOUR
                inside = [one for one in known if start <= one[0] < at]
                wanted, got = brute_force(inside, name, at), row[f"{name}_{window}"]
                finite = [abs(one) for _, one in inside if one is not None and math.isfinite(one)]
                size = max(finite, default=0.0) if name == "quantile" else math.fsum(finite)
                if name == "std" and wanted is not None:
                    assert got == pytest.approx(wanted, rel=1e-7, abs=1e-150 + 1e-8 * size), (tick, window)
                else:
                    assert same(got, wanted, size), (name, window, tick, got, wanted)


VALUES = st.sampled_from([None, INF, -INF, math.nan, 0.0, 1.0, 2.5, -2.5, 1e300, -1e300, 1e-300, 1e16, -1e16, 1.0])


STREAM = st.lists(st.tuples(st.integers(0, 14), VALUES | st.floats(-100, 100)), min_size=1, max_size=20)


@examples(10, 25)
@given(st.dictionaries(st.integers(1, 9), STREAM, min_size=4))
def test_every_aggregate_agrees_with_a_loop_over_rows(streams: dict[int, list[Event]]) -> None:
    for key, rows in compute(streams).items():
        check(streams[key], rows)


def test_a_sum_is_infinite_while_the_value_is_in_the_window_and_right_again_afterwards() -> None:
    rows = compute({1: [(0, 1.5), (1, INF), (2, 2.5), (8, 4.0)]})[1]
    sums = {(row["event_timestamp"] - START) // HOUR: (row["sum_2h"], row["mean_5h"], row["sum_all"]) for row in rows}
    assert sums[1] == (1.5, 1.5, 1.5)
    assert sums[2] == sums[3] == (INF, INF, INF)
    assert sums[4][0] == 2.5
    assert sums[7][1] == 2.5
    assert sums[9] == (4.0, 4.0, INF)


def test_plus_and_minus_infinity_together_are_no_number() -> None:
    row = compute({1: [(0, INF), (0, -INF), (0, 3.0)]})[1][0]
    assert math.isnan(row["sum_all"])
    assert math.isnan(row["decay_all"])
    assert (row["mean_all"], row["std_all"], row["min_all"], row["max_all"]) == (None, None, -INF, INF)


def test_small_values_are_right_again_after_a_huge_one_has_left() -> None:
    rows = compute({1: [(0, 1e300), (0, 1.0), (2, 1e-300), (9, 0.1), (9, 0.2)]})[1]
    sums = {(row["event_timestamp"] - START) // HOUR: row["sum_2h"] for row in rows}
    assert (sums[1], sums[3], sums[10]) == (1e300, 1e-300, math.fsum([0.1, 0.2]))
