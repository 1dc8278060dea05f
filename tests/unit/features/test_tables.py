"""Source files of every sort, and what is said when they do not work."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.read import read_tables, source_fingerprint
from proml_kedro.features.tables.readers.base import Source
from proml_kedro.spec.problem import ProblemSpec, TableSpec
from shop import HARDWARE

CSV = "id,at,x,tag\n1,2024-01-01T10:00:00Z,1.5,a\n2,2024-01-02T10:00:00Z,NA,\n3,2024-01-03T10:00:00Z,nan,NA\n"


def make_problem(table: dict[str, Any], timestamp: str = "at", **tables: Any) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": table, **tables},
            "examples": {"table": "t", "entities": ["id"], "timestamp": timestamp},
            "label": {"expression": "x > 1"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )


def read(tmp_path: Path, table: dict[str, Any], **options: Any) -> pa.Table:
    target = tmp_path / "out"
    target.mkdir()
    read_tables(make_problem(table, **options), None, tmp_path, HARDWARE, target)
    assert {file.name for file in target.iterdir()} == {"t.parquet", "tables.json"}, "only results are left"
    return pq.read_table(target / "t.parquet")


def mistakes(tmp_path: Path, table: dict[str, Any], **options: Any) -> dict[str, str]:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(UserError) as caught:
        read_tables(make_problem(table, **options), None, tmp_path, HARDWARE, target)
    return {one.key: one.message for one in caught.value.mistakes}


def write(path: Path, text: str = CSV) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside/t.csv", text)
            archive.writestr("__MACOSX/t.csv", "rubbish")
    else:
        path.write_text(text)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.zip"])
def test_csv_files(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    table = read(tmp_path, {"source": name})
    assert table["at"].type == pa.timestamp("us", "UTC")
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table["x"].to_pylist() == [1.5, None, None]
    assert table["tag"].to_pylist() == ["a", None, None]


@pytest.mark.parametrize("source", ["parts", "parts/*.parquet", "parts/b.parquet"])
def test_parquet_file_folder_and_glob(tmp_path: Path, source: str) -> None:
    (tmp_path / "parts").mkdir()
    for name, ids in {"a": [1, 2], "b": [3]}.items():
        moments = pa.array([0] * len(ids), pa.timestamp("ms"))
        part = pa.table({"id": ids, "at": moments, "x": pa.array([float("nan")] * len(ids))})
        pq.write_table(part, tmp_path / "parts" / f"{name}.parquet")
    table = read(tmp_path, {"source": source, "types": {"id": "VARCHAR"}})
    assert table["id"].to_pylist() == (["3"] if source.endswith("b.parquet") else ["1", "2", "3"])
    assert table["at"].type == pa.timestamp("us", "UTC"), "without a zone it is UTC"
    assert table["x"].null_count == len(table)


def test_file_of_an_installed_package_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lib" / "broken_data"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no')")
    write(package / "data" / "t.csv")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    assert len(read(tmp_path, {"source": "package:broken_data/data/t.csv"})) == 3


def test_derived_columns_build_on_each_other(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    table = read(tmp_path, {"source": "t.csv", "columns": {"double": "x * 2 -- twice", "more": "double + 1"}})
    assert table["more"].to_pylist() == [4.0, None, None]


def test_types_are_read_off_the_whole_file(tmp_path: Path) -> None:
    rows = "".join(f"{one},2024-01-01,{one}\n" for one in range(30_000))
    write(tmp_path / "t.csv", f"id,at,x\n{rows}last,2024-01-01,2.5\n")
    table = read(tmp_path, {"source": "t.csv"})
    assert table["id"].type == pa.string()
    assert table["x"].type == pa.float64()


def test_days_and_texts_as_timestamps(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "id,at,x\n1,2024-01-01,2\n")
    assert read(tmp_path, {"source": "t.csv"})["at"].type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ({"source": "tt.csv"}, "source", "no file 'tt.csv' Did you mean 't.csv'?"),
        ({"source": "no/t.csv"}, "source", "there is no folder"),
        ({"source": "*.parquet"}, "source", "no file matches '*.parquet'"),
        ({"source": "empty"}, "source", "folder 'empty' holds no .parquet file"),
        (
            {"source": "t.xlsx"},
            "source",
            "files end in .parquet, .arrow, .arrows, .feather, .ipc, .csv, .csv.gz, .csv.zst, .csv.zip",
        ),
        ({"source": "package:no_such_package/t.csv"}, "source", "no package 'no_such_package' is installed"),
        ({"source": "package:json/t.csv"}, "source", "no file 'package:json/t.csv'"),
        ({"source": "none.csv"}, "source", "'none.csv' has no rows"),
        ({"source": "bad.csv.zip"}, "source", "not a whole zip file"),
        ({"source": "ragged.csv"}, "source", "line 3: 5 fields where the header has 4"),
        ({"source": "t.csv", "types": {"tagg": "VARCHAR"}}, "types.tagg", "no column 'tagg'. Did you mean 'tag'?"),
        ({"source": "t.csv", "types": {"x": "DUBLE"}}, "types.x", "no type 'DUBLE'. Did you mean 'DOUBLE'?"),
        ({"source": "t.csv", "types": {"tag": "DATE"}}, "types.tag", "no format reads its 1 cells"),
        ({"source": "t.csv", "columns": {"y": "xx + 1"}}, "columns.y", "no column 'xx'."),
        ({"source": "t.csv", "columns": {"y": "x +"}}, "columns.y", "syntax error"),
        (
            {"source": "t.csv", "columns": {"y": "to_timestamp(at)"}},
            "columns.y",
            'syntax error at or near ")"; a word of SQL as the name of a column needs quotes: "at"',
        ),
        ({"source": "t.csv", "columns": {"y": "medean(x)"}}, "columns.y", "medean does not exist"),
        ({"source": "t.csv", "columns": {"ok": "1", "y": "tag::int + ok"}}, "columns.y", "Could not convert string"),
    ],
)
def test_mistakes(tmp_path: Path, table: dict[str, Any], key: str, message: str) -> None:
    write(tmp_path / "t.csv")
    write(tmp_path / "none.csv", "id,at,x\n")
    write(tmp_path / "ragged.csv", CSV.replace("\n2,2024", "\n2,4,5,6,2024"))
    (tmp_path / "t.xlsx").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv.zip").write_bytes(b"PK no zip")
    found = mistakes(tmp_path, table)
    assert list(found) == [f"problem.tables.t.{key}"]
    assert message in found[f"problem.tables.t.{key}"]


def test_messages_show_no_values(tmp_path: Path) -> None:
    secret = "id,at,x,tag\n1,2024-01-01,1,hunter2\n"
    write(tmp_path / "t.csv", secret)
    found = mistakes(tmp_path, {"source": "t.csv", "columns": {"y": "tag::int"}})
    assert "hunter2" not in str(found)


def test_a_timestamp_that_is_none_tells_the_row(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "id,at,x\n1,2024-01-01,1\n2,soon,1\n3,2024-13-01,1\n")
    found = mistakes(tmp_path, {"source": "t.csv"})
    assert list(found) == ["problem.tables.t.types.at"]
    assert "1 ISO 8601, 2 none of these: 'soon' (row 2), '2024-13-01' (row 3)" in found["problem.tables.t.types.at"]


def test_mistakes_of_all_tables_at_once(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    found = mistakes(tmp_path, {"source": "t.csv"}, timestamp="when", other={"source": "gone.csv"})
    assert set(found) == {"problem.examples.timestamp", "problem.tables.other.source"}


def test_a_number_is_no_timestamp(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    found = mistakes(tmp_path, {"source": "t.csv"}, timestamp="id")
    assert "to_timestamp(id)" in found["problem.examples.timestamp"]


def test_other_delimiters(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", 'id;at;x\n"1;2";2024-01-01;1\n')
    assert read(tmp_path, {"source": "t.csv"})["id"].to_pylist() == ["1;2"]


def test_fingerprint_is_of_content(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    before = source_fingerprint("t", TableSpec(source="t.csv"), tmp_path)
    os.utime(tmp_path / "t.csv", (1, 1))
    assert source_fingerprint("t", TableSpec(source="t.csv"), tmp_path) == before
    write(tmp_path / "t.csv", CSV.replace("1.5", "1.6"))
    assert source_fingerprint("t", TableSpec(source="t.csv"), tmp_path) != before


def test_only_parquet_files_make_up_one_table(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name)
    with pytest.raises(UserError, match="2 files match"):
        choose_reader(TableSpec(source="*.csv"), Source("t", "*.csv", tmp_path))
