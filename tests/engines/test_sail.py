"""Sail as it is: sorts that it drops, values that it gets wrong, and features from it to the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from both import HERE, all_differences, engine, read, run, with_sizes
from random_events import make_case

from proml_kedro.engine.errors import DataError, EngineError
from proml_kedro.engine.spark.ordered import in_order, write_parquet
from proml_kedro.engine.spark.session import DroppedSortError, SparkSession, connect_engine
from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import EngineSpec

SAIL = HERE.model_copy(update={"engine": EngineSpec()})


@pytest.fixture(scope="module")
def sail() -> Iterator[SparkSession]:
    with connect_engine(SAIL) as session:
        yield session


def test_features_and_training_sets_are_those_of_duckdb(tmp_path: Path) -> None:
    case = make_case(3, 4, ["count of values", "mean", "last text"])
    tables = read(case, tmp_path)
    wanted = run(case, with_sizes(case.features), tables, HERE, tmp_path / "wanted")
    with engine("sail") as hardware:
        found = run(case, case.features, tables, hardware, tmp_path / "found")
    assert all_differences(found, wanted) == {}


def test_a_sort_that_sail_drops_fails_loudly(sail: SparkSession, tmp_path: Path) -> None:
    """Before mapInArrow its plan has no sort: what came would be taken for sorted."""
    rows = sail.client.range(0, 20_000, 1, 4).selectExpr("(id * 7919) % 20011 AS k")
    unsorted = rows.sort("k").mapInArrow(lambda batches: batches, "k long").toArrow()
    values = unsorted["k"].to_pylist()
    assert values != sorted(values), "Sail keeps this sort now: the facts have changed"
    with pytest.raises(DroppedSortError, match=r"dropped a sort.*rows of 't'.*nothing was written"):
        write_parquet(in_order([unsorted.slice(0, 9000), unsorted.slice(9000)], ["k"], "rows of 't'"), tmp_path / "t")


def test_a_sort_at_the_end_of_a_query_holds(sail: SparkSession, tmp_path: Path) -> None:
    query = "SELECT CAST((id * 7919) % 400009 AS BIGINT) AS k FROM range(0, 400000, 1, 4) ORDER BY k"
    assert write_parquet(in_order(sail.batches(query), ["k"], "rows"), tmp_path / "t.parquet") == 400_000
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups in (3, 4)


def test_plain_sums_over_moving_frames_lose_digits_in_sail(sail: SparkSession) -> None:
    """Why numbers are added up as whole numbers, and deviations are refused: 1 and 2 are 3, whatever came before."""
    frame = "OVER (ORDER BY t RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)"
    rows = "(VALUES (CAST(1 AS BIGINT), 1e16), (2, 1e0), (3, 2e0)) AS v(t, x)"
    *_, last = sail.rows(f"SELECT sum(x) {frame} AS s, stddev_samp(x) {frame} AS d FROM {rows} ORDER BY t")
    assert (last["s"], repr(last["d"])) == (2.0, "nan"), "Sail has mended this: the facts have changed"


def _parts(*rows: list[tuple[str, int]]) -> list[pa.Table]:
    return [pa.table({"a": [one for one, _ in part], "b": [one for _, one in part]}) for part in rows]


def test_rows_in_order_pass() -> None:
    parts = _parts([("a", 1), ("a", 2)], [("b", 0)], [("ä", 5), ("日", -1)])
    assert list(in_order(parts, ["a", "b"], "rows")) == parts


@pytest.mark.parametrize(
    "parts",
    [
        ([("a", 2), ("a", 1)],),
        ([("b", 1), ("a", 2)],),
        ([("a", 1), ("a", 1)],),
        ([("a", 1)], [("a", 1)]),
        ([("b", 1)], [("a", 2)]),
    ],
)
def test_rows_out_of_order_and_doubled_rows_do_not(parts: Any) -> None:
    with pytest.raises(DroppedSortError):
        list(in_order(_parts(*parts), ["a", "b"], "rows"))


def test_errors_are_those_of_engines(sail: SparkSession) -> None:
    with pytest.raises(EngineError, match="nowhere"):
        sail.rows("SELECT * FROM nowhere")
    with pytest.raises(DataError, match="Cannot cast"):
        sail.rows("SELECT CAST('a' AS BIGINT) AS x")


def test_a_result_without_rows_has_its_columns(sail: SparkSession) -> None:
    empty = pa.concat_tables(sail.batches("SELECT CAST(1 AS BIGINT) AS x, 'a' AS y WHERE false"))
    assert empty.schema.names == ["x", "y"]
    assert not empty.num_rows


class _Elsewhere:
    """A client whose workers have another file system."""

    def __init__(self, client: Any) -> None:
        self.sql, self.client, self.read = client.sql, client.client, self
        self._client = client

    def parquet(self, path: str) -> Any:
        return self._client.read.schema("x long").parquet(f"{path}.elsewhere")


def test_a_file_that_workers_cannot_see_is_no_empty_table(sail: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "t.parquet")
    sail.table("t", tmp_path / "t.parquet")
    with pytest.raises(EngineError, match=r"see 0 of the 3 rows of .*t\.parquet; data_dir has to be on a file system"):
        SparkSession("Sail", _Elsewhere(sail.client)).table("t", tmp_path / "t.parquet")


def test_what_is_no_engine_is_said_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    with pytest.raises(UserError, match=r"SPARK_REMOTE: nothing answers at 127\.0\.0\.1:1"), connect_engine(SAIL):
        pass
