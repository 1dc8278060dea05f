"""Random tables of events and of examples, stacked: each table has keys of its own, so that one query computes many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from constructs import AGGREGATES, COLUMNS

from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec

HOUR = 3_600_000_000
# Clocks go forward in New York on the first day and back on the last; microseconds change their sign in 1970.
STARTS = [
    datetime(2013, 3, 10, 5, tzinfo=UTC),
    datetime(1969, 12, 31, 22, tzinfo=UTC),
    datetime(2013, 11, 3, 4, tzinfo=UTC),
]
TEXTS = ["a", "b", "ä", "ß", "日本", "🚀", "", " ", "A", "a'b", 'q"q', "\u0301a", "line\nbreak", "back\\slash", "${x}"]
SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e16, -1e16, 1.0, 0.1, 1e-9, 3.0, -7.5]

Generator = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A problem with features, and its tables by name."""

    problem: ProblemSpec
    features: FeaturesSpec
    tables: dict[str, pa.Table]


def _with_nulls(generator: Generator, values: Sequence[Any], share: float, type_: pa.DataType) -> pa.Array:
    missing = generator.random(len(values)) < share
    return pa.array([None if gone else one for one, gone in zip(values, missing, strict=True)], type_)


def _moments(generator: Generator, rows: int, start: datetime) -> list[datetime]:
    """Ties, points of the clock and their neighbours, out of order."""
    steps = generator.integers(0, 60, rows) * generator.choice([HOUR // 2, HOUR, HOUR // 4])
    steps = steps + generator.choice([0, 0, 0, 1, -1, 12_345_678], rows)
    return [start + timedelta(microseconds=int(one)) for one in steps]


def _numbers(generator: Generator, rows: int) -> npt.NDArray[np.float64]:
    kind = generator.integers(0, 4)
    if kind == 0:
        return generator.integers(-50, 50, rows).astype(float)
    if kind == 1:
        return generator.normal(size=rows) * 10.0 ** generator.integers(-3, 4)
    if kind == 2:
        return generator.choice(SPECIAL, rows)
    return np.where(generator.random(rows) < 0.1, 1e12, generator.normal(size=rows).round(2))


def events(generator: Generator, table: int, rows: int) -> pa.Table:
    """One table of events of two keys, with nulls, ties, infinities and not-a-number."""
    few = generator.choice([2, len(TEXTS)])
    moments = _moments(generator, rows, STARTS[table % len(STARTS)])
    names = [f"{table}{TEXTS[one]}" for one in generator.integers(0, few, rows)]
    vectors = [[float(one), 0.5, 1e-3] for one in generator.normal(size=rows)]
    columns = {
        "id": _with_nulls(generator, (generator.integers(-2, 3, rows) + 10 * table).tolist(), 0.05, pa.int64()),
        "name": _with_nulls(generator, names, 0.05, pa.string()),
        "t": _with_nulls(generator, moments, 0.05, pa.timestamp("us", "UTC")),
        "x": _with_nulls(generator, _numbers(generator, rows).tolist(), 0.15, pa.float64()),
        "n": _with_nulls(generator, generator.integers(-1000, 1000, rows).tolist(), 0.15, pa.int64()),
        "s": _with_nulls(generator, [TEXTS[one] for one in generator.integers(0, few, rows)], 0.15, pa.string()),
        "b": _with_nulls(generator, (generator.random(rows) < 0.4).tolist(), 0.15, pa.bool_()),
        "v": _with_nulls(generator, vectors, 0.1, pa.list_(pa.float32())),
        "My Column": pa.array(generator.integers(0, 5, rows).astype(float)),
        "large": pa.array(generator.integers(2**61, 2**62, rows)),
    }
    return pa.table(columns)


def examples(generator: Generator, table: int, rows: int) -> pa.Table:
    """One table of examples: keys of events and others, and moments, with labels of both sorts in each split."""
    asked = events(generator, table, rows).select(["id", "name"])
    moments = pa.array(_moments(generator, rows, STARTS[table % len(STARTS)]), pa.timestamp("us", "UTC"))
    parts = [("train", "validation", "test")[one // 2 % 3] for one in range(rows)]
    labels = [bool(one % 2) for one in range(rows)]
    return asked.append_column("t", moments).append_column("label", [labels]).append_column("part", [parts])


def make_case(seed: int, tables: int, aggregates: Sequence[str]) -> Case:
    """Make a problem over stacked random tables.

    Args:
        seed: Another one makes other tables.
        tables: How many there are; some have no event at all, or one.
        aggregates: Names of :data:`~constructs.AGGREGATES` for its windows.
    """
    generator = np.random.default_rng(seed)
    sizes = [(0, 1, 2)[one % 3] if one % 9 == 8 else int(generator.integers(3, 90)) for one in range(tables)]
    sizes[0] = max(sizes[0], 3)
    made = [events(generator, table, rows) for table, rows in enumerate(sizes)]
    asked = [examples(generator, table, int(generator.integers(12, 30))) for table in range(tables)]
    windows = [["2h", "5h", "all"], ["1h", "all"], ["3h", "24h"]][seed % 3]
    hop = ["15m", "1h", "30m"][seed % 3]
    source = {"table": "events", "event_time": "t", "delay": ["0s", "20m", "1h"][seed // 3 % 3]}
    windowed = {f"f{list(AGGREGATES).index(one)}": {**AGGREGATES[one], "windows": windows} for one in aggregates}
    plain = {f"c{place}": one for place, one in enumerate(COLUMNS.values())}
    features: dict[str, Any] = {
        "by_id": {"key": "id", "source": source, "snapshot": hop, "features": windowed},
        "by_both": {"key": ["id", "name"], "source": source, "snapshot": hop, "features": windowed},
        "columns": {
            "key": "name",
            "source": {**source, **({"ttl": "3h"} if seed % 2 else {})},
            "features": {**plain, "v": {"dtype": "vector[3]"}},
        },
        "fixed": {"key": "id", "source": {"table": "events"}, "features": plain},
    }
    problem = {
        "name": "random",
        "tables": {name: {"source": f"{name}.parquet"} for name in ("examples", "events")},
        "examples": {"table": "examples", "entities": ["id", "name"], "timestamp": "t", "lead_time": "30m"},
        "label": {"expression": "label", "task": "binary"},
        "split": {"by": "column", "column": "part"},
    }
    specs = ProblemSpec.model_validate(problem), FeaturesSpec.model_validate(features)
    return Case(*specs, {"examples": pa.concat_tables(asked), "events": pa.concat_tables(made)})
