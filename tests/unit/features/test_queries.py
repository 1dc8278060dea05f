"""Tables that are queries over other tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.spec.problem import ProblemSpec, TableSpec
from shop import HARDWARE

CSV = "id,at,x\n1,2024-01-01T10:00:00Z,1.5\n2,2024-01-02T10:00:00Z,3\n"


def read(tmp_path: Path, **tables: Any) -> Path:
    (tmp_path / "t.csv").write_text(CSV)
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {**tables, "t": {"source": "t.csv", "columns": {"y": "x * 2"}}},
            "examples": {"table": "t", "entities": ["id"], "timestamp": "at"},
            "label": {"expression": "x > 1"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )
    (tmp_path / "out").mkdir()
    read_tables(problem, None, tmp_path, HARDWARE, tmp_path / "out")
    return tmp_path / "out"


def mistakes(tmp_path: Path, **tables: Any) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        read(tmp_path, **tables)
    assert all("\n" not in one.message for one in caught.value.mistakes)
    return {one.key: one.message for one in caught.value.mistakes}


def test_a_query_reads_tables_and_queries_in_any_order(tmp_path: Path) -> None:
    out = read(
        tmp_path,
        last={"query": "WITH big AS (FROM sums WHERE z > 5) FROM big -- the end", "columns": {"half": "z / 2"}},
        sums={"query": "SELECT a.id, a.y + b.y AS z FROM t a, T b", "types": {"z": "BIGINT"}},
    )
    rows = pq.read_table(out / "last.parquet").to_pylist()
    assert sorted((row["id"], row["z"], row["half"]) for row in rows) == [
        (1, 6, 3.0),
        (1, 9, 4.5),
        (2, 9, 4.5),
        (2, 12, 6.0),
    ]


@pytest.mark.parametrize(
    ("tables", "key", "message"),
    [
        ({"q": {"query": "SELECT * FROM tt"}}, "q.query", "no table 'tt'."),
        ({"q": {"query": "SELECT * FROM 'other.csv'"}}, "q.query", "no table 'other.csv'."),
        ({"q": {"query": "SELECT * FROM q"}}, "q.query", "reads itself: q -> q"),
        ({"q": {"query": "FROM r"}, "r": {"query": "FROM q"}}, "", "reads itself: "),
        ({"q": {"query": "SELEC 1"}}, "q.query", "is no query: syntax error"),
        ({"q": {"query": "DROP TABLE t"}}, "q.query", "is no query: Only SELECT"),
        ({"q": {"query": "FROM t; FROM t"}}, "q.query", "holds 2 queries, not one"),
        ({"q": {"query": "SELECT idd FROM t"}}, "q.query", "no column 'idd'"),
        ({"q": {"query": "FROM t WHERE x > 9"}}, "q.query", "gives no rows"),
        ({"q": {"query": "FROM t", "types": {"w": "BIGINT"}}}, "q.types.w", "no column 'w'"),
        ({"q": {"query": "FROM t", "columns": {"w": "v + 1"}}}, "q.columns.w", "no column 'v'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_one(tmp_path: Path, tables: dict[str, Any], key: str, message: str) -> None:
    found = mistakes(tmp_path, **tables)
    (place,) = found
    assert place.startswith("problem.tables.")
    assert place.endswith(key)
    assert found[place].startswith(message)


def test_what_depends_on_a_mistake_is_not_one_more(tmp_path: Path) -> None:
    tables = {"a": {"source": "none.csv"}, "b": {"query": "FROM a"}, "c": {"query": "FROM b"}}
    assert list(mistakes(tmp_path, **tables)) == ["problem.tables.a.source"]


def test_a_file_or_a_query() -> None:
    for wrong in ({}, {"source": "a.csv", "query": "FROM t"}):
        with pytest.raises(ValidationError, match="a source, which is a file, or a query"):
            TableSpec.model_validate(wrong)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "page", "footer"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, damage: str) -> None:
    table = pa.table({"a": np.random.default_rng(1).random(10_000)})
    pq.write_table(table, tmp_path / "one.parquet")
    content = bytearray((tmp_path / "one.parquet").read_bytes())
    if damage == "page":
        content[4:40] = bytes(36)
    elif damage == "footer":
        content[-300:-100] = b"\xff" * 200
    else:
        content = {"empty": b"", "text": b"not parquet at all", "cut": content[: len(content) // 2]}[damage]
    (tmp_path / "many").mkdir()
    pq.write_table(table, tmp_path / "many" / "good.parquet")
    (tmp_path / "many" / "bad.parquet").write_bytes(content)
    found = mistakes(tmp_path, d={"source": "many"})
    assert found == {"problem.tables.d.source": "'bad.parquet' is no whole Parquet file"}
