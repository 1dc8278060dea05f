"""A session on the engine: lazy relations, its own errors, the hardware's limits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.engine.errors import DataError, EngineError, MachineError
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.hardware import HardwareSpec

HARDWARE = HardwareSpec(threads=1, memory="100MB")


def test_a_relation_is_not_read_before_it_is_asked_for(tmp_path: Path) -> None:
    with connect(HARDWARE) as session:
        tables = Tables(session, tmp_path)
        relation = tables.relation("t").select("n + 1 AS m", where="n > 1")
        assert "t" not in tables
        with pytest.raises(MachineError, match="No files found"):
            _ = relation.schema
        pq.write_table(pa.table({"n": [1, 2, 3]}), tmp_path / "t.parquet")
        again = tables.relation("t").select("n + 1 AS m", where="n > 1")
        assert "t" in tables
        assert again.schema == {"m": "BIGINT"}
        assert again.engine.rows(f"SELECT m FROM {again} ORDER BY m") == [(3,), (4,)]


def test_rows_are_numbered_where_that_is_asked_for(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [5, 6]}), tmp_path / "t.parquet")
    with connect(HARDWARE) as session:
        tables = Tables(session, tmp_path)
        assert list(tables.relation("t").schema) == ["n"]
        assert session.rows(f"SELECT n, file_row_number FROM {tables.relation('t', numbered=True)}") == [(5, 0), (6, 1)]


def test_columns_are_found_in_any_case(tmp_path: Path) -> None:
    with connect(HARDWARE) as session:
        relation = session.relation("(SELECT 1 AS Number)")
        assert relation.type_of("number") == "INTEGER"
        assert relation.type_of("other") is None


def test_expressions_are_checked_without_reading() -> None:
    with connect(HARDWARE) as session:
        relation = session.relation("(SELECT error('read') AS x, 1 AS amount)")
        assert relation.check_expression("amount > 0 -- enough", "a.key") == ("BOOLEAN", None)
        type_, mistake = relation.check_expression("amuont", "a.key")
        assert type_ is None
        assert mistake is not None
        assert (mistake.key, "Did you mean 'amount'" in mistake.message) == ("a.key", True)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT CAST('x' AS INTEGER)", DataError),
        ("SELECT 300::UTINYINT", DataError),
        ("FROM nothing", EngineError),
        ("SELEKT", EngineError),
        ("FROM read_parquet('/not/there.parquet')", MachineError),
    ],
)
def test_errors_are_the_engines_own(query: str, kind: type[EngineError]) -> None:
    with connect(HARDWARE) as session:
        for run in (session.rows, session.run, session.arrow, lambda text: list(session.batches(text, 10))):
            with pytest.raises(kind) as error:
                run(query)
            assert type(error.value) is kind


def test_too_little_memory_is_a_mistake_of_the_hardware(tmp_path: Path) -> None:
    def exhaust() -> None:
        with connect(HardwareSpec(threads=1, memory="20MB"), tmp_path) as session:
            session.run("SET max_temp_directory_size = '1MB'")
            session.rows("SELECT list(i) FROM range(10000000) t(i)")

    said = r"hardware\.memory: 20MB is too little for this much data; try hardware\.memory=40MB"
    with pytest.raises(UserError, match=said):
        exhaust()
    assert list(tmp_path.iterdir()) == [], "the temporary folder is removed"


def test_results_come_in_batches_and_as_records() -> None:
    with connect(HARDWARE) as session:
        batches = list(session.batches("SELECT i FROM range(5000) t(i) ORDER BY i", 2048))
        assert [batch.num_rows for batch in batches] == [2048, 2048, 904]
        assert session.records("SELECT 1 AS a, 'x' AS b") == [{"a": 1, "b": "x"}]
        assert session.row("SELECT ? + ?".replace("?", "2")) == (4,)
        assert session.rows("SELECT ?, ?", [1, "it's"]) == [(1, "it's")]


def test_a_query_is_written_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "it's.parquet"
    with connect(HARDWARE) as session:
        assert session.write_parquet("SELECT i FROM range(10) t(i)", file) == 10
    assert pq.read_table(file)["i"].to_pylist() == list(range(10))
