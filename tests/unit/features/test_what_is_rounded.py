"""Values that a reader could change without a word: not-a-number, long numbers, marks of thousands, times of a date."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

HARDWARE = HardwareSpec(threads=1, memory="500MB")


def read(folder: Path, table: dict[str, Any], features: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of a table ``t``, beside one of examples."""
    make(folder, table, features)
    rows: list[dict[str, Any]] = pq.read_table(folder / "read" / "t.parquet").to_pylist()
    return rows


def compute(folder: Path, table: dict[str, Any], features: dict[str, Any]) -> None:
    """Compute the views over the same tables."""
    problem, spec = make(folder, table, features)
    assert spec is not None
    (folder / "views").mkdir()
    compute_views(problem, spec, folder / "read", HARDWARE, folder / "views")


def make(
    folder: Path, table: dict[str, Any], features: dict[str, Any] | None
) -> tuple[ProblemSpec, FeaturesSpec | None]:
    (folder / "ex.csv").write_text("k,at,y\n1,2024-01-01,0\n2,2024-02-01,1\n")
    content = {
        "name": "p",
        "tables": {"ex": {"source": "ex.csv"}, "t": table},
        "examples": {"table": "ex", "entities": ["k"], "timestamp": "at"},
        "label": {"expression": "y = 1"},
        "split": {"validation_from": "2024-01-15", "test_from": "2024-02-01"},
    }
    target = folder / "read"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    spec = FeaturesSpec.model_validate(features) if features else None
    problem = ProblemSpec.model_validate(content)
    read_tables(problem, spec, folder, HARDWARE, target)
    return problem, spec


def test_not_a_number_in_parquet_is_null(tmp_path):
    """PyArrow's statistics leave it out, so that an engine may conclude there is none."""
    pq.write_table(pa.table({"x": [1.0, float("nan"), 2.0]}), tmp_path / "t.parquet")
    assert [row["x"] for row in read(tmp_path, {"source": "t.parquet"})] == [1.0, None, 2.0]


@pytest.mark.parametrize("cell", ["0.123", "00.500", "1.23"])
def test_a_mark_of_thousands_groups_three_digits_of_a_number_that_does_not_begin_with_0(tmp_path, cell):
    (tmp_path / "t.csv").write_text(f"x\n1.234\n{cell}\n")
    with pytest.raises(UserError, match=rf"'{cell}' \(row 2\)"):
        read(tmp_path, {"source": "t.csv", "types": {"x": "DOUBLE"}, "thousands": ".", "decimal": ","})


def test_a_name_in_quotes_declares_its_column_too(tmp_path):
    (tmp_path / "t.csv").write_text("k,shop id\n1,1.00\n2,2.10\n")
    features = {
        "v": {"key": "k", "source": {"table": "t"}, "features": {"shop": {"dtype": "str", "expression": '"shop id"'}}}
    }
    assert [row["shop id"] for row in read(tmp_path, {"source": "t.csv"}, features)] == ["1.00", "2.10"]


def test_numbers_beyond_64_bits_are_not_stored_in_double_precision(tmp_path):
    (tmp_path / "t.csv").write_text("x\n12345678901234567890\n12345678901234567891\n")
    with pytest.raises(UserError, match=r"types\.x: HUGEINT would be rounded .* write VARCHAR"):
        read(tmp_path, {"source": "t.csv", "types": {"x": "HUGEINT"}})


def test_sums_of_whole_numbers_stay_exact(tmp_path):
    (tmp_path / "u.csv").write_text("x\n9007199254740992\n1\n")
    table = {"query": "SELECT sum(x) AS s FROM ex, (SELECT 9007199254740992 AS x UNION ALL SELECT 1) WHERE k = 1"}
    assert read(tmp_path, table) == [{"s": 9007199254740993}]


def test_a_decimal_without_decimals_takes_no_fraction(tmp_path):
    (tmp_path / "t.csv").write_text("x\n1.0\n.5\n")
    with pytest.raises(UserError, match=r"'\.5' \(row 2\)"):
        read(tmp_path, {"source": "t.csv", "types": {"x": "DECIMAL(10,0)"}})


def test_a_date_does_not_lose_its_time(tmp_path):
    (tmp_path / "t.csv").write_text("d\n31/01/2024 00:00\n31/01/2024 10:30\n")
    with pytest.raises(UserError, match=r"'31/01/2024 10:30' \(row 2\)"):
        read(tmp_path, {"source": "t.csv", "types": {"d": "DATE"}, "date_format": {"d": "%d/%m/%Y %H:%M"}})


def test_files_of_one_table_agree_on_what_they_hold(tmp_path):
    (tmp_path / "parts").mkdir()
    pq.write_table(pa.table({"x": [9007199254740993]}), tmp_path / "parts" / "a.parquet")
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "parts" / "b.parquet")
    with pytest.raises(UserError, match="where 1 would be rounded"):
        read(tmp_path, {"source": "parts"})
    pq.write_table(pa.table({"x": [7]}), tmp_path / "parts" / "a.parquet")
    assert [row["x"] for row in read(tmp_path, {"source": "parts"})] == [7.0, 0.5]


def test_a_folder_does_not_override_a_column_of_its_files(tmp_path):
    folder = tmp_path / "parts" / "shop=7"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"shop": [1], "x": [2]}), folder / "a.parquet")
    with pytest.raises(UserError, match="'shop' is a column of the files, and of their folders' names too"):
        read(tmp_path, {"source": "parts/shop=7/a.parquet"})
    pq.write_table(pa.table({"x": [2]}), folder / "a.parquet")
    assert read(tmp_path, {"source": "parts/shop=7/a.parquet"}) == [{"x": 2, "shop": 7}]


def test_lists_in_json_lines_lose_no_digit(tmp_path):
    lines = [{"a": [9007199254740993, 1], "b": [1, "x"], "c": [1, 2.5]}, {"a": [2], "b": [], "c": []}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    first, second = read(tmp_path, {"source": "t.jsonl"})
    assert (json.loads(first["a"]), json.loads(first["b"]), first["c"]) == ([9007199254740993, 1], [1, "x"], [1.0, 2.5])
    assert (json.loads(second["a"]), second["c"]) == ([2], [])


@pytest.mark.parametrize(("line", "message"), [("{}", "have no keys"), ('{"": 1}', "a key without a name")])
def test_objects_without_names_are_refused(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read(tmp_path, {"source": "t.jsonl"})


def test_an_encrypted_archive_is_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("T.CSV", "x\n1\n")
    content = bytearray((tmp_path / "t.csv.zip").read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag that says so, in both places
        content[content.index(signature) + at] |= 1
    (tmp_path / "t.csv.zip").write_bytes(content)
    with pytest.raises(UserError, match="is encrypted; unpack it first"):
        read(tmp_path, {"source": "t.csv.zip"})


def test_a_column_under_another_name_is_declared_too(tmp_path):
    (tmp_path / "t.csv").write_text("shop id,b\n1.00,1\n2.10,2\n")
    features = {"v": {"key": "k", "source": {"table": "t"}, "features": {"c": {"dtype": "str"}}}}
    rows = read(tmp_path, {"source": "t.csv", "columns": {"k": "(b)", "a": '"shop id"', "c": "a"}}, features)
    assert [row["c"] for row in rows] == ["1.00", "2.10"]
    (tmp_path / "t.csv").write_text("shop id\n1.00\n2.10\n")
    features = {"v": {"key": "k", "source": {"table": "t"}, "features": {"n": {"dtype": "int", "expression": "1"}}}}
    assert [row["k"] for row in read(tmp_path, {"source": "t.csv", "columns": {"k": '"shop id"'}}, features)] == [
        "1.00",
        "2.10",
    ]


def test_numbers_other_than_0_and_1_are_no_truth_values(tmp_path):
    pq.write_table(pa.table({"k": [1, 2, 3], "b": [0.0, 1.0, 0.4]}), tmp_path / "t.parquet")
    features = {"v": {"key": "k", "source": {"table": "t"}, "features": {"b": {"dtype": "bool"}}}}
    read(tmp_path, {"source": "t.parquet"}, features)
    with pytest.raises(UserError, match=r"features\.v\.features\.b: .*1 of 3 values are neither 0 nor 1"):
        compute(tmp_path, {"source": "t.parquet"}, features)


def test_a_note_of_excel_is_no_header(tmp_path):
    (tmp_path / "t.csv").write_text("sep=;\na;b\n1;2\n")
    with pytest.raises(UserError, match="line 1 is Excel's note 'sep=;'"):
        read(tmp_path, {"source": "t.csv"})


@pytest.mark.parametrize("encoding", ["undefined", "punycode", "utf-7"])
def test_an_encoding_that_gives_no_text_is_one_line(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes(b"a\n+2AA-\n")
    with pytest.raises(UserError, match=r"problem\.tables\.t\.encoding: (no encoding|'t\.csv'.* is not)"):
        read(tmp_path, {"source": "t.csv", "encoding": encoding})


@pytest.mark.parametrize(
    ("cells", "types", "remedy"),
    [
        (["571,14", "1.364,38"], "DOUBLE", 'write decimal: "," and thousands: "."'),
        (["1,234,567.8", "1,000.5", "12"], "DOUBLE", 'write thousands: ","'),
        (["ja", "nein"], "BOOLEAN", "write columns: {x: \"x = 'ja'\"}"),
    ],
)
def test_the_remedy_mends_what_it_is_for(tmp_path, cells, types, remedy):
    (tmp_path / "t.csv").write_text("x\n" + "".join(f'"{one}"\n' for one in cells))
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"source": "t.csv", "types": {"x": types}})
    assert remedy in str(caught.value)
    mended = yaml.safe_load(f"{{{remedy.removeprefix('write ').replace(' and ', ', ')}}}")
    table = {"source": "t.csv", **({} if "columns" in mended else {"types": {"x": types}}), **mended}
    expected = {
        "DOUBLE": [571.14, 1364.38] if "571,14" in cells else [1234567.8, 1000.5, 12.0],
        "BOOLEAN": [True, False],
    }
    assert [row["x"] for row in read(tmp_path, table)] == expected[types]
