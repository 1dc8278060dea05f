"""Datasets of Kedro's catalog as tables: what they load is what is read, or it is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from one_table import problem_of, read
from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables, source_fingerprint
from shop import HARDWARE


def of(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"source": "catalog:t", "dataset": {"type": kind, **arguments}}


def mistake(folder: Path, table: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, problem_of(**table))
    (one,) = caught.value.mistakes
    assert one.key == "problem.tables.t.source"
    return one.message


def test_a_csv_of_pandas_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id;code;amount\n1;007;1,5\n2;;2,25\n")
    arguments = {"sep": ";", "decimal": ",", "dtype": {"code": "str"}}
    found = read(tmp_path, problem_of(**of("pandas.CSVDataset", filepath="t.csv", load_args=arguments)))
    assert found.to_pydict() == {"id": [1, 2], "code": ["007", None], "amount": [1.5, 2.25]}


def test_a_query_over_a_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE orders (id, day)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [(1, "2024-01-31"), (2, "2024-02-01")])
    table = of(
        "pandas.SQLQueryDataset",
        sql="SELECT id, day FROM orders ORDER BY id",
        credentials={"con": f"sqlite:///{tmp_path}/shop.sqlite"},
    )
    assert read(tmp_path, problem_of(**table, types={"day": "DATE"}))["day"].type == pa.date32()


def test_credentials_come_by_their_name(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1]}).to_csv(tmp_path / "t.csv", index=False)
    table = problem_of(**of("pandas.CSVDataset", filepath="t.csv", credentials="mine"))
    asked: list[str] = []

    def credentials(name: str) -> dict[str, Any]:
        asked.append(name)
        return {}

    (tmp_path / "out").mkdir()
    read_tables(table, None, tmp_path, HARDWARE, tmp_path / "out", credentials)
    assert asked == ["mine"]
    with pytest.raises(UserError, match="there are no credentials 'mine' here"):
        source_fingerprint("t", table.tables["t"], tmp_path)


def test_the_index_counts_where_it_has_a_name(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.5, 2.5]}, index=pd.Index(["a", "b"], name="id")).to_parquet(tmp_path / "t.parquet")
    found = read(tmp_path, problem_of(**of("pandas.ParquetDataset", filepath="t.parquet")))
    assert found.to_pydict() == {"id": ["a", "b"], "x": [1.5, 2.5]}
    pd.DataFrame({"id": [1, 2]}, index=[7, 9]).to_parquet(tmp_path / "u.parquet")
    assert read(tmp_path, problem_of(**of("pandas.ParquetDataset", filepath="u.parquet"))).column_names == ["id"]


@pytest.mark.parametrize("number", [2**53 + 1, 10**17 + 1])
def test_keys_that_pandas_has_rounded_are_refused(number: int, tmp_path: Path) -> None:
    """An empty cell makes whole numbers floats: two customers become one."""
    (tmp_path / "t.csv").write_text(f"id,x\n{number},1\n,2\n")
    table = of("pandas.CSVDataset", filepath="t.csv")
    said = mistake(tmp_path, table)
    assert "'id' holds whole numbers that are so large that pandas may have rounded them" in said
    assert "load_args: {dtype: {id: Int64}}" in said
    mended = of("pandas.CSVDataset", filepath="t.csv", load_args={"dtype": {"id": "Int64"}})
    assert read(tmp_path, problem_of(**mended))["id"].to_pylist() == [number, None]
    assert read(tmp_path, problem_of(**table, types={"id": "DOUBLE"}))["id"].to_pylist() == [float(number), None]


def test_just_below_nothing_is_rounded(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"id,x\n{2**53 - 1},1\n,2\n")
    assert read(tmp_path, problem_of(**of("pandas.CSVDataset", filepath="t.csv")))["id"].to_pylist()[0] == 2**53 - 1


def test_cells_of_several_types_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1, 2], "x": ["a", 3]}).to_pickle(tmp_path / "t.pkl")
    said = mistake(tmp_path, of("pandas.GenericDataset", filepath="t.pkl", file_format="pickle"))
    assert said.startswith("'x' of 'catalog:t' holds values of several types")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (of("pandas.CSVDataset", filepath="no.csv"), "'catalog:t' cannot be loaded: "),
        (of("pandas.CSVDatset", filepath="t.csv"), "'catalog:t' is no dataset: "),
        (of("pandas.CSVDataset", path="t.csv"), "'catalog:t' is no dataset: "),
        (of("text.TextDataset", filepath="t.csv"), "the dataset loads a 'str', not a frame of pandas"),
        (of("json.JSONDataset", filepath="t.json"), "the dataset loads a 'list', not a frame of pandas"),
    ],
)
def test_what_is_no_table(table: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n1\n")
    (tmp_path / "t.json").write_text("[1]")
    assert mistake(tmp_path, table).startswith(said)


def test_polars_comes_as_it_is(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    pl.DataFrame({"id": [1, None, 2**53 + 1]}).write_parquet(tmp_path / "t.parquet")
    for kind in ("polars.EagerPolarsDataset", "polars.LazyPolarsDataset"):
        table = of(kind, filepath="t.parquet", file_format="parquet")
        assert read(tmp_path, problem_of(**table))["id"].to_pylist() == [1, None, 2**53 + 1]


def test_rows_that_change_are_another_source(tmp_path: Path) -> None:
    table = problem_of(**of("pandas.CSVDataset", filepath="t.csv")).tables["t"]
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    first = source_fingerprint("t", table, tmp_path)
    assert source_fingerprint("t", table, tmp_path) == first
    for text in ("id,x\n1,3\n", "id,y\n1,2\n", "id,x\n1,2\n1,2\n", "id,x\n1,2.0\n"):
        (tmp_path / "t.csv").write_text(text)
        assert source_fingerprint("t", table, tmp_path) != first, text
