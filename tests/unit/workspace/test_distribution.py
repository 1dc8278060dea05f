"""Sketches count every value once, and are made once."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proml_kedro.workspace import sketches
from proml_kedro.workspace.columns import FeatureColumn
from proml_kedro.workspace.correlation import correlations
from proml_kedro.workspace.distribution import BINS, sketch
from shop import HARDWARE


def sketched(values: Any, type_: pa.DataType | None = None) -> Any:
    with TemporaryDirectory() as folder:
        file = Path(folder, "values.parquet")
        pq.write_table(pa.table({"v.x": pa.array(values, type_)}), file)
        return sketch(FeatureColumn(file, "v.x", "test"), HARDWARE)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=60))
def test_every_finite_number_is_in_one_bar(values: list[float | None]) -> None:
    found = sketched(values, pa.float64())
    finite = [one for one in values if one is not None and math.isfinite(one)]
    assert sum(bar.count for bar in found.bars) == len(finite)
    assert (found.rows, found.nulls) == (len(values), values.count(None))
    for one, other in zip(found.bars, found.bars[1:], strict=False):
        assert one.high == other.low
    if finite:
        assert (found.figures["min"], found.figures["max"]) == (min(finite), max(finite))
    if finite and max(map(abs, finite)) < 1e300:  # beyond that, the mean of two is infinite
        assert found.figures["median"] == pytest.approx(float(np.median(finite)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.none() | st.integers(-5, 15), min_size=1, max_size=60))
def test_few_whole_numbers_have_a_bar_each(values: list[int | None]) -> None:
    found = sketched(values, pa.int64())
    counted = {round((bar.low + bar.high) / 2): bar.count for bar in found.bars if bar.count}
    assert counted == {one: values.count(one) for one in values if one is not None}


@pytest.mark.parametrize("values", [[0.0, 5e-324], [-1.7e308, 1.7e308], [1e308, 1e308], [1e16, 1e16 + 2]])
def test_numbers_that_are_too_near_or_too_far_apart(values: list[float]) -> None:
    found = sketched(values)
    assert sum(bar.count for bar in found.bars) == 2
    assert (found.figures["min"], found.figures["max"]) == tuple(values)


def test_a_far_value_does_not_press_the_others_into_one_bar() -> None:
    found = sketched([*np.linspace(0, 1, 5000).tolist(), 1e9])
    assert len(found.bars) == BINS
    assert sum(bar.count > 0 for bar in found.bars) == BINS
    assert found.figures["max"] == 1e9
    assert sum(bar.count for bar in found.bars) == 5001


def test_categories() -> None:
    values = ["a"] * 5 + ["b"] * 3 + [f"c{one:02}" for one in range(20)] + [None, ""]
    found = sketched(values)
    assert [(bar.value, bar.count) for bar in found.bars[:3]] == [("a", 5), ("b", 3), ("", 1)]
    assert (len(found.bars), found.distinct, found.nulls) == (12, 23, 1)
    assert found.rest + sum(bar.count for bar in found.bars) == len(values) - 1
    flags = sketched([True, False, True, None])
    assert [(bar.value, bar.count) for bar in flags.bars] == [("true", 2), ("false", 1)]


@pytest.mark.parametrize("type_", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.float64())])
def test_vectors_are_drawn_by_their_length(type_: pa.DataType) -> None:
    found = sketched([[3.0, 4.0], [0.0, 1.0], None], type_)
    assert (found.kind, found.nulls) == ("lengths", 1)
    assert (found.figures["min"], found.figures["max"]) == (1, 5)


def test_other_types_are_counted_only() -> None:
    found = sketched([datetime(2024, 1, 1, tzinfo=UTC), None])
    assert (found.kind, found.rows, found.nulls, found.bars) == ("other", 2, 1, ())


def test_values_of_the_training_set_come_before_those_of_the_table(site) -> None:
    assert site.ask("distribution", name="spending.amount_2h")["place"] == "training set of trees"
    found = site.ask("distribution", name="spending.amount_2h")
    assert (found["rows"], found["nulls"], found["kind"]) == (400, 40, "numbers")
    table = site.ask("distribution", name="region.area")
    assert table["place"] == "feature table region"
    assert {bar["value"] for bar in table["bars"]} == {"north", "east"}


def test_a_sketch_is_made_once_for_a_result(site, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(sketches, "sketch", lambda column, hardware: made.append(column) or sketch(column, hardware))
    client = site.client()
    asked = [client.get("/api/distribution", params={"name": "price.price"}).json() for _ in range(3)]
    assert asked[0] == asked[1] == asked[2]
    assert len(made) == 1


def test_near_duplicates_by_definition_and_by_value(site) -> None:
    found = {one["name"]: one for one in site.ask("similar", name="spending.amount_2h")}
    other = found["spending.amount_all"]
    assert other["correlation"] == pytest.approx(-1, abs=0.01)
    assert other["likeness"] > 0.5
    assert next(iter(found)) == "spending.amount_all", "the nearest first"


def test_correlations_need_pairs_and_change(tmp_path: Path) -> None:
    file = tmp_path / "training_set.parquet"
    base = np.arange(100.0)
    few = np.where(np.arange(100) < 90, np.nan, base)
    pq.write_table(
        pa.table(
            {
                "v.x": base,
                "v.same": base * 3 + 1,
                "v.whole": pa.array(np.arange(100)),
                "v.constant": np.ones(100),
                "v.few": pa.array(few, mask=np.isnan(few)),
                "v.text": [str(one) for one in range(100)],
                "v.unlike": np.cos(base),
                "label": base,
            }
        ),
        file,
    )
    found = correlations(FeatureColumn(file, "v.x", "test"), HARDWARE)
    assert set(found) == {"v.same", "v.whole"}
    assert found["v.same"] == pytest.approx(1)
    assert correlations(FeatureColumn(file, "v.text", "test"), HARDWARE) == {}
    assert correlations(FeatureColumn(file, "x", "test"), HARDWARE) == {}
