"""The laws of splits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.session import connect
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.split import SPLITS, AnySplit, ExampleColumns, SplitSpec

_ROWS = 400


def check_split(config: Mapping[str, Any]) -> None:
    """Prove the laws for one configured split, on random examples of January to March 2024.

    ::

        def test_my_split():
            check_split({"by": "hash", "column": "user", "percent": 20})

    Each example is in one of training, validation and test, and none of these is empty; the same examples are divided
    alike in another order and by another number of threads; a split by time never trains on what comes later than
    something that it is judged by; what is written of the split reads back as the same.

    Args:
        config: The split's YAML as a mapping. Examples have the columns ``user`` (a number), ``item`` (text), each with
            nulls, and ``at`` (their moment).

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    split: SplitSpec = TypeAdapter(AnySplit).validate_python(dict(config))
    again = TypeAdapter(AnySplit).validate_json(TypeAdapter(AnySplit).dump_json(split))
    assert again == split, f"written and read again it is {again!r}"
    examples = _make_examples()
    missing = [name for name, _ in split.columns() if name not in examples.column_names]
    assert not missing, f"it reads columns that are not there: {missing}"
    parts = _divide(split, examples, threads=1)
    assert set(parts.values()) <= set(SPLITS), (
        f"not all are one of {', '.join(SPLITS)}: {sorted(set(map(str, parts.values())))}"
    )
    assert set(parts.values()) == set(SPLITS), f"a part is empty: there is only {sorted(set(map(str, parts.values())))}"
    order = np.random.default_rng(1).permutation(_ROWS)
    assert _divide(split, examples.take(order), threads=1) == parts, "it depends on the order of the examples"
    assert _divide(split, examples, threads=2) == parts, "it depends on the number of threads"
    if split.is_by_time:
        moments = dict(zip(examples["row"].to_pylist(), examples["at"].to_pylist(), strict=True))
        for earlier, later in pairwise(SPLITS):
            last = max(moments[row] for row, part in parts.items() if part == earlier)
            first = min(moments[row] for row, part in parts.items() if part == later)
            assert last < first, f"{earlier} goes until {last}, and {later} begins at {first}"


def _make_examples() -> pa.Table:
    generator = np.random.default_rng(0)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    users = [None if one == 20 else int(one) for one in generator.integers(0, 21, _ROWS)]
    items = [None if one == 9 else f"i{one}" for one in generator.integers(0, 10, _ROWS)]
    hours = [int(one) for one in generator.integers(0, 90 * 24, _ROWS)]
    return pa.table(
        {
            "row": pa.array(range(_ROWS), pa.int64()),
            "user": pa.array(users, pa.int64()),
            "item": pa.array(items, pa.string()),
            "at": pa.array([start + timedelta(hours=one) for one in hours], pa.timestamp("us", "UTC")),
        }
    )


def _divide(split: SplitSpec, examples: pa.Table, threads: int) -> dict[int, Any]:
    with connect(HardwareSpec(threads=threads, memory="300MB")) as session:
        session.register("examples", examples)
        columns = ExampleColumns(quote("at"), '"user", item, "at"', 'coalesce("user" > 10, false)')
        return dict(session.rows(f"SELECT row, {split.divide(columns)} FROM examples"))
