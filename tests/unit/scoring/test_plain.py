"""Columns of a Parquet file that Arrow reads itself: the values that the engine gives, or left to the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.read import without_nan
from proml_kedro.models.columns import as_array
from proml_kedro.models.component import Input
from proml_kedro.scoring.plain import plain_batches, plain_columns
from shop import HARDWARE

MOMENT = datetime(2024, 1, 31, 12, 30, 1, 999999, tzinfo=UTC)
SAME = {
    "x": pa.array([0.1, None, float("nan"), float("inf"), -float("inf"), 1e300, -0.0]),
    "whole": pa.array([1, None, -(2**63), 2**63 - 1, 2**53 + 1, 0, 7]),
    "yes": pa.array([True, False, None, True, True, False, False]),
    'odd "name"': pa.array(["a", None, "", "é", "NA", "a", "\U0001f600"]),
    "at": pa.array([MOMENT, None, *[MOMENT] * 5], pa.timestamp("us", "UTC")),
}
OTHER = {
    "float32": pa.array([0.1], pa.float32()),
    "int32": pa.array([1], pa.int32()),
    "uint64": pa.array([1], pa.uint64()),
    "decimal": pa.array([1], pa.decimal128(9, 2)),
    "zone": pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")),
    "local": pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("us")),
    "category": pa.array(["a"]).dictionary_encode(),
    "large": pa.array(["a"], pa.large_string()),
    "list": pa.array([[0.5]]),
}


def write(folder: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=3)
    return folder / "t.parquet"


def plain(file: Path, wanted: dict[str, str]) -> dict[str, str] | None:
    return plain_columns(wanted, file, frozenset(pq.read_schema(file).names))


def test_values_are_those_of_the_engine(tmp_path: Path) -> None:
    file = write(tmp_path, SAME)
    wanted = {f"v.{name}": quote(name) for name in SAME} | {"again": '"x"'}
    columns = plain(file, wanted)
    assert columns == {**{f"v.{name}": name for name in SAME}, "again": "x"}
    with connect(HARDWARE) as session:
        selected = ", ".join(f"{sql} AS {quote(name)}" for name, sql in wanted.items())
        true = session.arrow(f"SELECT {selected} FROM {without_nan(session.parquet(file))}")
    found = pa.Table.from_batches(plain_batches(file, columns, 2))
    assert found.schema == true.schema
    kinds = {"v.x": "float", "again": "float", "v.whole": "int", "v.yes": "bool", 'v.odd "name"': "str"}
    for name, dtype in kinds.items():
        one = Input(name, dtype)
        np.testing.assert_array_equal(as_array(found[name], one, "float64"), as_array(true[name], one, "float64"))
    for name in ("v.whole", "v.yes", 'v.odd "name"', "v.at"):  # which may be kept beside the scores, as they are
        assert found[name].to_pylist() == true[name].to_pylist()


@pytest.mark.parametrize("name", OTHER)
def test_other_types_are_left_to_the_engine(tmp_path: Path, name: str) -> None:
    assert plain(write(tmp_path, {name: OTHER[name]}), {"v": quote(name)}) is None


@pytest.mark.parametrize("sql", ["x + 1", '"x" + 1', "(x)", '"X"', "CAST(x AS DOUBLE)"])
def test_what_is_no_column_as_it_stands_is_left_to_the_engine(tmp_path: Path, sql: str) -> None:
    assert plain(write(tmp_path, SAME), {"v": '"x"', "w": sql}) is None


def test_columns_that_are_replaced_are_left_to_the_engine(tmp_path: Path) -> None:
    assert plain_columns({"v": '"x"'}, write(tmp_path, SAME), frozenset(["whole"])) is None
    assert plain_columns({"v": '"x"'}, None, frozenset(["x"])) is None


def test_damaged_files_are_errors_of_the_engine(tmp_path: Path) -> None:
    file = write(tmp_path, {"x": pa.array(np.random.default_rng(0).normal(size=10_000))})
    content = bytearray(file.read_bytes())
    content[100:60_000] = bytes(59_900)
    file.write_bytes(content)
    with pytest.raises(EngineError):
        list(plain_batches(file, {"v": "x"}, 1000))


def test_what_is_no_utf_8_is_an_error_of_the_engine(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff"))
    with pytest.raises(EngineError):
        list(plain_batches(write(tmp_path, {"s": broken}), {"v": "s"}, 1000))
