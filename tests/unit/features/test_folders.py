"""Folders called ``name=value``: columns below a source of Parquet files, and nothing but folders elsewhere."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from one_table import problem_of, read
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.files import fingerprint_of
from shop import HARDWARE

ROWS = pa.table({"id": [1, 2], "x": [1.5, 2.0]})


@pytest.mark.parametrize("folder", ["x=3", "X=3", "id=9", "day=2024-05-01", "plain"])
@pytest.mark.parametrize("sort", ["csv", "parquet"])
def test_a_folder_around_a_file_is_no_column(folder: str, sort: str, tmp_path: Path) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "t.csv").write_text("id,x\n1,1.5\n2,2\n")
    pq.write_table(ROWS, place / "t.parquet")
    if sort == "csv" or folder == "plain":
        assert read(tmp_path, problem_of(source=f"{folder}/t.{sort}")).to_pydict() == ROWS.to_pydict()
    assert read(place, problem_of(source=f"t.{sort}")).to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("source", ["t", "./t", "t/*/*.parquet", "t/x=*/p.parquet"])
def test_folders_below_a_source_are_columns(source: str, tmp_path: Path) -> None:
    for value in (10, 20):
        (tmp_path / "t" / f"age={value}").mkdir(parents=True)
        pq.write_table(ROWS, tmp_path / "t" / f"age={value}" / "p.parquet")
    if "x=*" in source:
        source = source.replace("x=*", "age=*")
    assert read(tmp_path, problem_of(source=source))["age"].to_pylist() == [10, 10, 20, 20]
    for named in ("t/age=20", "t/age=20/p.parquet"):  # the source itself says that it is one
        assert read(tmp_path, problem_of(source=named))["age"].to_pylist() == [20, 20]
    only = read(tmp_path / "t" / "age=20", problem_of(source="p.parquet"))
    assert only.column_names == ["id", "x"]


def test_folders_around_and_below_are_refused_by_name(tmp_path: Path) -> None:
    place = tmp_path / "exp=3" / "t" / "age=10"
    place.mkdir(parents=True)
    pq.write_table(ROWS, place / "p.parquet")
    with pytest.raises(UserError, match=r"lies in a folder 'exp=3', which would be a column as 'age=10' is; rename it"):
        read(tmp_path / "exp=3", problem_of(source="t"))


def test_another_name_of_such_a_folder_is_a_change(tmp_path: Path) -> None:
    found = set()
    for value in (20, 90):
        (tmp_path / "t" / f"age={value}").mkdir(parents=True)
        file = tmp_path / "t" / f"age={value}" / "p.parquet"
        pq.write_table(ROWS, file)
        found.add(fingerprint_of([file]))
    assert len(found) == 2


def test_results_in_such_a_folder_are_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "x=33").mkdir()
    pq.write_table(ROWS, tmp_path / "x=33" / "p.parquet")
    with connect(HARDWARE) as session:
        rows = session.parquet(tmp_path / "x=33" / "p.parquet")
        assert session.arrow(f"SELECT * FROM {rows}").to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("moment", ["0000-01-01", "9999-12-31", "0001-01-01"])
def test_moments_that_python_does_not_know_are_read(moment: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"id,born\n1,{moment}\n2,2020-02-02\n")
    found = read(tmp_path, problem_of(source="t.csv", types={"born": "DATE"}))
    assert found["born"].null_count == 0
