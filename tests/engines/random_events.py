"""Random tables of events, and views over them with every construct that engines carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec

HOUR = 3_600_000_000
# Clocks go forward in New York on this day and back on the third; 1970 is where microseconds change their sign.
STARTS = [datetime(2013, 3, 10, 5, tzinfo=UTC), datetime(1969, 12, 31, 22, tzinfo=UTC), datetime(2013, 11, 3, 4, tzinfo=UTC)]
TEXTS = ["a", "b", "ä", "ß", "日本", "🚀", "", " ", "A", "a'b", 'q"q', "\u0301a", "line\nbreak", "back\\slash", "${x}"]
SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e16, -1e16, 1.0, 0.1, 1e-9, 3.0, -7.5]


@dataclass(frozen=True)
class Case:
    """A problem with features, and its tables.

    Attributes:
        problem: The problem.
        features: Its features.
        tables: Its tables, by name.
    """

    problem: ProblemSpec
    features: FeaturesSpec
    tables: dict[str, pa.Table]


def _with_nulls(generator: np.random.Generator, values: Sequence[Any], share: float) -> list[Any]:
    return [None if missing else one for one, missing in zip(values, generator.random(len(values)) < share, strict=True)]


def _moments(generator: np.random.Generator, rows: int, start: datetime) -> list[datetime]:
    """Ties, points of the clock and its neighbours, out of order."""
    steps = generator.integers(0, 60, rows) * generator.choice([HOUR // 2, HOUR, HOUR // 4])
    steps = steps + generator.choice([0, 0, 0, 1, -1, 12_345_678], rows)
    return [start + timedelta(microseconds=int(one)) for one in steps]


def _numbers(generator: np.random.Generator, rows: int) -> np.ndarray:
    kind = generator.integers(0, 4)
    if kind == 0:
        return generator.integers(-50, 50, rows).astype(float)
    if kind == 1:
        return generator.normal(size=rows) * 10.0 ** generator.integers(-3, 4)
    if kind == 2:
        return generator.choice(SPECIAL, rows)
    return np.where(generator.random(rows) < 0.1, 1e12, generator.normal(size=rows).round(2))


def events_table(generator: np.random.Generator, rows: int, start: datetime) -> pa.Table:
    """Events of two keys, with nulls, ties, infinities and not-a-number."""
    texts = [TEXTS[one] for one in generator.integers(0, len(TEXTS), rows)]
    names = [TEXTS[one] for one in generator.integers(0, generator.choice([2, len(TEXTS)]), rows)]
    numbers = {"id": generator.integers(-2, 3, rows), "n": generator.integers(-1000, 1000, rows)}
    return pa.table(
        {
            "id": pa.array(_with_nulls(generator, [int(one) for one in numbers["id"]], 0.05), pa.int64()),
            "name": pa.array(_with_nulls(generator, names, 0.05), pa.string()),
            "t": pa.array(_with_nulls(generator, _moments(generator, rows, start), 0.05), pa.timestamp("us", "UTC")),
            "x": pa.array(_with_nulls(generator, [float(one) for one in _numbers(generator, rows)], 0.15), pa.float64()),
            "n": pa.array(_with_nulls(generator, [int(one) for one in numbers["n"]], 0.15), pa.int64()),
            "s": pa.array(_with_nulls(generator, texts, 0.15), pa.string()),
            "b": pa.array(_with_nulls(generator, [bool(one) for one in generator.random(rows) < 0.4], 0.15), pa.bool_()),
            "v": pa.array(
                _with_nulls(generator, [[float(a), 0.5, float(b)] for a, b in generator.normal(size=(rows, 2))], 0.1),
                pa.list_(pa.float32()),
            ),
            "My Column": pa.array([float(one) for one in generator.integers(0, 5, rows)], pa.float64()),
        }
    )


AGGREGATES: list[dict[str, Any]] = [
    {"agg": "count"},
    {"agg": "count", "expression": "x"},
    {"agg": "count", "filter": "x > 0 and not coalesce(b, false)"},
    {"agg": "sum", "expression": "x"},
    {"agg": "sum", "expression": "x / nullif(n, 0)"},
    {"agg": "sum", "expression": "n * 3 - 1"},
    {"agg": "mean", "expression": "x", "filter": "s <> 'a'"},
    {"agg": "mean", "expression": "n"},
    {"agg": "mean", "expression": "case when b then x else 0.5 end"},
    {"agg": "min", "expression": "x"},
    {"agg": "max", "expression": "abs(x) - 1"},
    {"agg": "max", "expression": '"My Column" * 2'},
    {"agg": "rate", "expression": "b"},
    {"agg": "rate", "expression": "n between -100 and 100 or s in ('a', '日本')", "filter": "n is not null"},
    {"agg": "last", "expression": "s", "dtype": "str"},
    {"agg": "last", "expression": "x", "dtype": "float"},
    {"agg": "last", "expression": "n % 7", "dtype": "int"},
    {"agg": "last", "expression": "n > 0", "dtype": "bool", "filter": "b"},
    {"agg": "count_distinct", "expression": "s"},
    {"agg": "count_distinct", "expression": "x"},
    {"agg": "count_distinct", "expression": "n % 3"},
]
"""Every aggregate that is carried, over expressions of every sort."""

COLUMNS: dict[str, dict[str, Any]] = {
    "x": {"dtype": "float"},
    "n": {"dtype": "int"},
    "s": {"dtype": "str"},
    "b": {"dtype": "bool"},
    "v": {"dtype": "vector[3]"},
    "ratio": {"dtype": "float", "expression": "x / 3"},
    "text": {"dtype": "str", "expression": "CAST(n AS VARCHAR) || s"},
    "sign": {"dtype": "int", "expression": "case when n > 0 then 1 when n < 0 then -1 else 0 end"},
    "is_small": {"dtype": "bool", "expression": "x <= 1e0 and x is not null"},
}


def make_case(seed: int) -> Case:
    """Make a problem of one seed: two keys, a windowed view of either, and columns with and without a time to live."""
    generator = np.random.default_rng(seed)
    start = STARTS[seed % len(STARTS)]
    rows = 1 if seed % 25 == 0 else int(generator.integers(2, 120))
    windows = ["2h", "5h", "all"][int(generator.integers(0, 3)) :] or ["2h"]
    chosen = generator.choice(len(AGGREGATES), 6, replace=False)
    source = {"table": "events", "event_time": "t", "delay": str(generator.choice(["0s", "20m", "1h"]))}
    hop = str(generator.choice(["15m", "1h"]))
    windowed = {f"f{one}": {**AGGREGATES[one], "windows": windows} for one in chosen}
    ttl = {"ttl": "3h"} if seed % 2 else {}
    features = {
        "by_id": {"key": "id", "source": source, "snapshot": hop, "features": windowed},
        "by_both": {"key": ["id", "name"], "source": source, "snapshot": hop, "features": windowed},
        "columns": {"key": "name", "source": {**source, **ttl}, "features": COLUMNS},
        "fixed": {"key": "id", "source": {"table": "events"}, "features": {"s": {"dtype": "str"}, "n": {"dtype": "int"}}},
    }
    asked = int(generator.integers(8, 60))
    examples = events_table(generator, asked, start).drop_columns(["v", "x", "n", "s", "b", "My Column"])
    moments = _moments(generator, asked, start)
    examples = examples.set_column(2, "t", pa.array(moments, pa.timestamp("us", "UTC")))
    label = pa.array([bool(one) for one in np.arange(asked) % 2], pa.bool_())
    part = pa.array([["train", "validation", "test"][one // 2 % 3] for one in range(asked)], pa.string())
    problem = {
        "name": "random",
        "tables": {name: {"source": f"{name}.parquet"} for name in ("examples", "events")},
        "examples": {"table": "examples", "entities": ["id", "name"], "timestamp": "t", "lead_time": "30m"},
        "label": {"expression": "label", "task": "binary"},
        "split": {"by": "column", "column": "part"},
    }
    return Case(
        ProblemSpec.model_validate(problem),
        FeaturesSpec.model_validate(features),
        {
            "examples": examples.append_column("label", label).append_column("part", part),
            "events": events_table(generator, rows, start),
        },
    )
