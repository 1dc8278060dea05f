"""The laws of aggregates."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from proml_kedro.engine.duckdb import microseconds, quote, sql_type
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session, connect
from proml_kedro.features.views.aggregates import Aggregate, Event
from proml_kedro.features.views.windows import known_at, snapshot_sql
from proml_kedro.spec.features import FeatureSource, FeatureViewSpec, window_length
from proml_kedro.spec.hardware import HardwareSpec

_START = datetime(2024, 1, 1, tzinfo=UTC)
_WINDOWS = ("2h", "5h", "all")
_ROWS = 90
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_aggregate(config: Mapping[str, Any], seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Prove the laws for one configured aggregate, on random events with nulls, ties, infinities and empty windows.

    ::

        def test_my_aggregate():
            check_aggregate({"agg": "geometric_mean", "expression": "abs(x) + 1"})

    The SQL gives what :meth:`~proml_kedro.features.views.aggregates.Aggregate.of_events` gives for the events of each
    window, at every tick of the clock, with and without a filter; its type is that of the feature; and an empty window
    is 0 or null as the aggregate says. An infinite value, of either sign or of both, changes the windows that hold it
    and no others: what each aggregate makes of it is what ``of_events`` says.

    Args:
        config: The feature's YAML as a mapping; without ``windows``. Events have the columns ``x`` (a number), ``s``
            (text) and ``b`` (a truth value).
        seeds: Each for other events.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    features = {
        "plain": {**config, "windows": list(_WINDOWS)},
        "filtered": {**config, "windows": ["3h"], "filter": "x > 0 -- some of them"},
    }
    view = FeatureViewSpec.model_validate(
        {
            "key": "k",
            "source": {"table": "events", "event_time": "t", "delay": "20m"},
            "snapshot": "1h",
            "features": features,
        }
    )
    for feature in view.features.values():
        assert isinstance(feature, Aggregate), f"'{config['agg']}' is registered and no Aggregate"
        empty = feature.of_events([], 0)
        assert empty == (0 if feature.is_zero_when_empty else None), f"of_events of no events is {empty}"
    for seed in seeds:
        for infinite in (0.0, 0.05):
            with connect(HardwareSpec(threads=1, memory="300MB")) as session:
                session.register("events", _make_events(seed, infinite))
                _check_values(view, session)


def _make_events(seed: int, infinite: float) -> pa.Table:
    generator = np.random.default_rng(seed)
    minutes = np.sort(generator.integers(0, 30 * 60, _ROWS)) // 10 * 10  # ties, also at ticks
    minutes[generator.random(_ROWS) < 0.2] += 600  # out of order, with hours of silence
    x = generator.normal(size=_ROWS).round(2)
    x[generator.random(_ROWS) < infinite] = np.inf
    x[generator.random(_ROWS) < infinite / 2] = -np.inf
    x[generator.random(_ROWS) < infinite] = np.nan

    def with_nulls(values: Sequence[Any], share: float) -> list[Any]:
        return [None if missing else one for one, missing in zip(values, generator.random(_ROWS) < share, strict=True)]

    return pa.table(
        {
            "k": pa.array(with_nulls([int(one) for one in generator.integers(0, 3, _ROWS)], 0.05), pa.int64()),
            "t": pa.array(
                with_nulls([_START + timedelta(minutes=int(one)) for one in minutes], 0.05), pa.timestamp("us", "UTC")
            ),
            "x": pa.array(with_nulls([float(one) for one in x], 0.2), pa.float64()),
            "s": pa.array(with_nulls([str(one) for one in generator.choice(["a", "b", "c"], _ROWS)], 0.2), pa.string()),
            "b": pa.array(with_nulls([bool(one) for one in x > 0.3], 0.2), pa.bool_()),
            "file_row_number": pa.array(range(_ROWS), pa.int64()),
        }
    )


def _check_values(view: FeatureViewSpec, session: Session) -> None:
    snapshots = session.relation(f"({snapshot_sql(view, 'events', {'k': 'k'})})")
    columns = ", ".join(quote(name) for name in view.columns())
    rows = session.rows(f"SELECT k, epoch_us(event_timestamp), {columns} FROM {snapshots} ORDER BY 1, 2")
    ticks: dict[int, list[int]] = {}
    values: dict[tuple[int, int], dict[str, Any]] = {}
    for key, tick, *row in rows:
        assert (key, tick) not in values, "two rows share a key and a tick"
        ticks.setdefault(key, []).append(tick)
        values[key, tick] = dict(zip(view.columns(), row, strict=True))
    for name, feature in view.features.items():
        if not isinstance(feature, Aggregate):
            continue
        events = _events_of(view, feature, session)
        for window in feature.windows:
            column = f"{name}_{window}"
            _check_type(snapshots, column, feature)
            for key, at, tick in _moments(ticks, feature, view.snapshot):
                wanted = feature.of_events(_inside(events.get(key, []), at, window), at)
                given = values[key, tick][column]
                assert _same(given, wanted), (
                    f"agg '{feature.agg}' over {window} of key {key} at {_EPOCH + timedelta(microseconds=at)} is "
                    f"{given} in SQL and {wanted} in Python"
                )


def _check_type(snapshots: Relation, column: str, feature: Aggregate) -> None:
    type_ = (snapshots.type_of(column) or "").partition("[")[0]
    wanted = sql_type(feature.dtype).partition("[")[0]
    assert type_ == wanted, f"agg '{feature.agg}' is {type_} in SQL, not {wanted}, its dtype's type"


def _events_of(view: FeatureViewSpec, feature: Aggregate, session: Session) -> dict[int, list[Event]]:
    """The events that give a value, by key."""
    assert isinstance(view.source, FeatureSource)  # for the type checker
    known = f"epoch_us({known_at(view.source)})"
    found: dict[int, list[Event]] = {}
    query = (
        f"SELECT k, {known} AS known, {feature.value_sql()} AS value FROM events "
        "WHERE k IS NOT NULL AND known IS NOT NULL ORDER BY known, file_row_number"
    )
    for key, moment, value in session.rows(query):
        if value is not None:
            found.setdefault(key, []).append(Event(moment, value))
    return found


def _moments(
    ticks: Mapping[int, Sequence[int]], feature: Aggregate, snapshot: timedelta
) -> Iterator[tuple[int, int, int]]:
    """Keys and ticks to look at, each with the tick of the row that holds then.

    Values that change without events are looked at where they are written.
    """
    step = microseconds(snapshot)
    for key, written in ticks.items():
        if feature.renewal(snapshot) is not None:
            yield from ((key, tick, tick) for tick in written)
            continue
        for at in range(written[0], written[-1] + 10 * step, step):
            yield key, at, written[bisect_right(written, at) - 1]


def _inside(events: Sequence[Event], at: int, window: str) -> list[Event]:
    length = window_length(window)
    start = -math.inf if length is None else at - microseconds(length)
    return [one for one in events if start <= one.known < at]


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(given, float) and isinstance(wanted, int | float):
        if math.isnan(given) and math.isnan(wanted):
            return True
        return math.isclose(given, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return bool(given == wanted)
