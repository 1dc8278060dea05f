"""Queries and expressions read tables of the problem, and neither files nor the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE


def problem(**changes: Any) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": "t.csv"}, **changes},
            "examples": {"table": "t", "entities": ["id"], "timestamp": "at"},
            "label": {"expression": "x > 1"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text("id,at,x\n1,2024-01-01,1.5\n")
    (tmp_path / "other.csv").write_text("a\n1\n")
    (tmp_path / "out").mkdir()
    return tmp_path


def refused(folder: Path, **changes: Any) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        read_tables(problem(**changes), None, folder, HARDWARE, folder / "out")
    (mistake,) = caught.value.mistakes
    return mistake.key, mistake.message


READING = [
    "FROM read_csv('{0}')",
    "FROM READ_CSV_AUTO('{0}')",
    "FROM read_text('{0}')",
    "FROM read_blob('{0}')",
    "FROM parquet_scan('{0}')",
    "FROM glob('{0}')",
    "FROM sniff_csv('{0}')",
    "FROM '{0}'",
    "FROM duckdb_settings()",
    "FROM query('SELECT 1')",
    "FROM query_table('t')",
    "FROM information_schema.tables",
    "FROM (SUMMARIZE '{0}')",
    "FROM (SHOW TABLES)",
    'FROM "{0}", (WITH "{0}" AS (SELECT 1) SELECT * FROM "{0}")',
]


@pytest.mark.parametrize("part", READING)
def test_queries_read_no_files(folder: Path, part: str) -> None:
    query = f"SELECT * {part.format(folder / 'other.csv')}"
    assert refused(folder, q={"query": query})[0] == "problem.tables.q.query"


def test_a_query_cannot_hide_it(folder: Path) -> None:
    query = (
        "WITH a AS (SELECT (SELECT max(b) FROM (SELECT a AS b FROM read_csv('other.csv'))) AS c FROM t) SELECT * FROM a"
    )
    key, message = refused(folder, q={"query": query})
    assert (key, "read_csv()" in message) == ("problem.tables.q.query", True)
    assert "name the file as source under problem.tables" in message


@pytest.mark.parametrize("part", [*READING, "FROM t", "FROM q"])
def test_expressions_read_no_tables(folder: Path, part: str) -> None:
    expression = f"(SELECT count(*) {part.format(folder / 'other.csv')})"
    table = {"source": "t.csv", "columns": {"y": expression}}
    assert refused(folder, t=table)[0] == "problem.tables.t.columns.y"
    with connect(HARDWARE) as session:
        _, mistake = session.relation("(SELECT 1 AS x)").check_expression(f"x + {expression}", "key")
    assert mistake is not None


@pytest.mark.parametrize("call", ["current_setting('home_directory')", "getenv('HOME')", "getvariable('x')"])
def test_nothing_reads_the_environment(folder: Path, call: str) -> None:
    assert "which reads the environment" in refused(folder, q={"query": f"SELECT {call} AS a FROM t"})[1]
    assert "which reads the environment" in refused(folder, t={"source": "t.csv", "columns": {"y": call}})[1]


def test_what_makes_rows_of_its_arguments_is_allowed(folder: Path) -> None:
    query = "SELECT id, x, i, w FROM t, range(2) r(i), unnest([1]) u(w)"
    expression = 'extract(year from "at") + (SELECT max(i) FROM range(3) r(i))'
    table = {"source": "t.csv", "columns": {"y": expression}}
    read_tables(problem(t=table, q={"query": query}), None, folder, HARDWARE, folder / "out")
    assert (folder / "out" / "q.parquet").exists()
