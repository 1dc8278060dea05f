"""CSV files in any dialect, encoding and packing; and one line, with the key to write, for what is none."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE

TEXT = "id,at,s,x\n1,2024-01-01,naïve,1.5\n2,2024-01-02,“é”,2\n"
VALUES = {"id": [1, 2], "s": ["naïve", "“é”"], "x": [1.5, 2.0]}


def read(folder: Path, source: str, **table: Any) -> pa.Table:
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": source, **table}},
            "examples": {"table": "t", "entities": ["id"], "timestamp": "at"},
            "label": {"expression": "x > 1"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )
    target = folder / "out"
    target.mkdir()
    read_tables(problem, None, folder, HARDWARE, target)
    assert {one.name for one in target.iterdir()} == {"t.parquet", "tables.json"}, "no copy is left"
    return pq.read_table(target / "t.parquet")


def refused(folder: Path, source: str, **table: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, source, **table)
    (mistake,) = caught.value.mistakes
    assert len(str(mistake).splitlines()) == 1
    return str(mistake)


def values(table: pa.Table) -> dict[str, Any]:
    return {name: table[name].to_pylist() for name in table.column_names if name != "at"}


# D12: encodings and damaged files -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_at_the_beginning_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    assert values(read(tmp_path, "t.csv")) == VALUES


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be", "mac-roman"])
def test_a_declared_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    assert values(read(tmp_path, "t.csv", encoding=encoding)) == VALUES


@pytest.mark.parametrize(
    ("text", "line", "byte", "found"),
    [
        ("id,at,s,x\n1,2024-01-01,a,1\n2,2024-01-02,é,2\n".encode("latin-1"), 3, "0xE9", "latin-1"),
        ("id,at,naïve,x\n1,2024-01-01,a,1\n".encode("latin-1"), 1, "0xEF", "latin-1"),
        ("id,at,s,x\n1,2024-01-01,€,1\n".encode("cp1252"), 2, "0x80", "cp1252"),
        (b"id,at,s,x\n" + b"1,2024-01-01,a,1\n" * 30_000 + b"1,2024-01-01,\xe9,1\n", 30_002, "0xE9", "latin-1"),
    ],
)
def test_another_encoding_is_told(tmp_path: Path, text: bytes, line: int, byte: str, found: str) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    assert refused(tmp_path, "t.csv") == (
        f"problem.tables.t.encoding: line {line:,}: byte {byte} is not UTF-8; write encoding: {found}, or what it is"
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("id,at,x\n1,2024-01-01,1\n".encode(encoding))
    assert f"is {encoding} without a mark; write encoding: {encoding}" in refused(tmp_path, "t.csv")


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("utf-9", "no encoding 'utf-9'"), ("ascii", "line 2: byte 0xC3 is not ascii"), ("hex", "no encoding 'hex'")],
)
def test_a_wrong_encoding_is_told(tmp_path: Path, encoding: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(TEXT)
    line = refused(tmp_path, "t.csv", encoding=encoding)
    assert line.startswith("problem.tables.t.encoding: ")
    assert message in line


def packed(folder: Path, ending: str) -> bytes:
    text = TEXT.replace("2024-01-02", "2024-01-02 10:00") * 1
    text += "".join(f"{one},2024-01-03,t{one * 7919 % 1009},{one % 13}\n" for one in range(5000))
    if ending == ".gz":
        return gzip.compress(text.encode())
    if ending == ".zst":
        return pa.compress(text.encode(), "zstd", asbytes=True)
    with zipfile.ZipFile(folder / "made", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", text)
    return (folder / "made").read_bytes()


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
def test_packed_files(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"t.csv{ending}").write_bytes(packed(tmp_path, ending))
    assert len(read(tmp_path, f"t.csv{ending}")) == 5002


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
@pytest.mark.parametrize("fault", ["cut", "flipped", "not"])
def test_damaged_packed_files_are_told(tmp_path: Path, ending: str, fault: str) -> None:
    content = packed(tmp_path, ending)
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :],
        "not": b"id,at,x\n1,2024-01-01,1\n",
    }[fault]
    (tmp_path / f"t.csv{ending}").write_bytes(damaged)
    line = refused(tmp_path, f"t.csv{ending}")
    assert line.startswith(f"problem.tables.t.source: 't.csv{ending}' is not a whole ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("parquet", "'t.csv' is a Parquet file, not text; it needs reader: parquet"),
        ("gzip", "'t.csv' is a file packed with gzip, not text; it needs a name that ends in .gz"),
        ("zip", "'t.csv' is a zip archive or a spreadsheet, not text"),
        ("zeros", "'t.csv' has bytes of zero and is no text"),
        ("empty", "the file is empty"),
    ],
)
def test_files_that_are_no_csv_are_told(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "t.csv"
    if content == "parquet":
        pq.write_table(pa.table({"id": [1]}), file)
    elif content in ("gzip", "zip"):
        file.write_bytes(packed(tmp_path, ".gz" if content == "gzip" else ".zip"))
    else:
        file.write_bytes(b"" if content == "empty" else b"\0\0\1\0" + b"abc" * 100)
    assert message in refused(tmp_path, "t.csv")


def test_csv_that_is_called_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text(TEXT)
    assert "'t.parquet' is no whole Parquet file" in refused(tmp_path, "t.parquet")


def test_parquet_that_is_called_csv_is_read_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(TEXT)
    pq.write_table(pa.table({"id": [1], "at": ["2024-01-01"], "x": [1.5]}), tmp_path / "t.csv")
    assert values(read(tmp_path, "t.csv", reader="parquet")) == {"id": [1], "x": [1.5]}


# D13: delimiters, quotes and line ends --------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("other", [";;;;", ",,,,", "\t\t\t\t", "||||"])
def test_delimiters_in_quotes_do_not_count(tmp_path: Path, mark: str, other: str) -> None:
    lines = [["id", "at", f'"a{other}b"', "x"], ["1", "2024-01-01", f'"c{other}\nd"', "1.5"]]
    (tmp_path / "t.csv").write_text("\n".join(mark.join(line) for line in lines) + "\n")
    assert values(read(tmp_path, "t.csv")) == {"id": [1], f"a{other}b": [f"c{other}\nd"], "x": [1.5]}


def test_two_delimiters_that_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,at;x\n1,2024-01-01;1\n")
    assert "',' or ';' could part the 2 columns; write which: delimiter: \",\"" in refused(tmp_path, "t.csv")


def test_a_declared_delimiter(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id^at^x\n1^2024-01-01^1,5\n")
    assert values(read(tmp_path, "t.csv", delimiter="^", decimal=",")) == {"id": [1], "x": [1.5]}


@pytest.mark.parametrize(("header", "body"), [("\r\n", "\n"), ("\n", "\r\n"), ("\r\n", "\r\n"), ("\r", "\r")])
def test_line_ends(tmp_path: Path, header: str, body: str) -> None:
    text = f"id,at,s,x{header}" + "".join(f'{one},2024-01-01,"a\r\nb{one}",1{body}' for one in range(3))
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert values(read(tmp_path, "t.csv")) == {"id": [0, 1, 2], "s": ["a\r\nb0", "a\r\nb1", "a\r\nb2"], "x": [1, 1, 1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,at,x\n1,2024-01-01\n", "line 2: 2 fields where the header has 3"),
        ("id,at,x\n1,2024-01-01,1\n1,2024-01-01,1,1\n", "line 3: 4 fields where the header has 3"),
        ('id,at,x\n1,2024-01-01,"a\n2,2024-01-01,b\n', "a quote is not closed"),
        ('id,at,x\n1,2024-01-01,"a"b\n', "line 2: a quote is not closed, or has text behind it"),
        ("id,at,x,X\n1,2024-01-01,1,1\n", "the header has 'x' and 'X'; give all columns names of their own"),
        ("id,at,x,x\n1,2024-01-01,1,1\n", "the header has 'x' twice"),
        ("id,at,x\n1,2024-01-01,1\n1,2024-01-01,1,\n", "record 3 ends in ',': 4 fields where the header has 3"),
        ("id;at\n1;2024-01-01;;\n", "record 2 ends in ';': 4 fields where the header has 2"),
        ("sep=;\rid;at\r1;2024-01-01\r", "line 1 is Excel's note 'sep=;', not names of columns; delete it"),
        ("SEP=; \nid;at\n1;2024-01-01\n", "line 1 is Excel's note 'sep=;', not names of columns; delete it"),
    ],
)
def test_broken_files_are_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert message in refused(tmp_path, "t.csv")


def test_quotes_that_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,at,s,x\n1,2024-01-01,"a,1\n2,2024-01-01,b"c,1\n')
    assert values(read(tmp_path, "t.csv", quote=""))["s"] == ['"a', 'b"c']


def test_other_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,at,s,x\n1,2024-01-01,'it''s, \"so\"',1\n")
    assert values(read(tmp_path, "t.csv", quote="'"))["s"] == ['it\'s, "so"']


def test_files_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2024-01-01,5\n2,2024-01-02,6\n")
    assert "without a header there are no names; write names: [c1, c2, c3, …]" in refused(
        tmp_path, "t.csv", header=False
    )
    (tmp_path / "out").rmdir()
    assert "there are 2 names, and 3 fields" in refused(tmp_path, "t.csv", header=False, names=["id", "at"])
    (tmp_path / "out").rmdir()
    assert values(read(tmp_path, "t.csv", header=False, names=["id", "at", "x"])) == {"id": [1, 2], "x": [5, 6]}


def test_names_in_place_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",x,x\n1,2024-01-01,5\n")
    assert values(read(tmp_path, "t.csv", names=["id", "at", "x"])) == {"id": [1], "x": [5]}


def test_an_index_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",id,at,x\n0,1,2024-01-01,5\n")
    assert values(read(tmp_path, "t.csv"))["column0"] == [0]


# D14, D17: numbers and nulls ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "keys", "found"),
    [
        (["1,5", "2"], {"decimal": ","}, [1.5, 2.0]),
        (["1.234,5", "1.234.567"], {"decimal": ",", "thousands": "."}, [1234.5, 1234567.0]),
        (["1,234", "12"], {"thousands": ","}, [1234, 12]),
        (["1 234", "1"], {"thousands": " "}, [1234, 1]),
        (["1.2.3", "1"], {"decimal": ",", "thousands": "."}, ["1.2.3", "1"]),
        (["12.34", "1"], {"decimal": ",", "thousands": "."}, ["12.34", "1"]),
        (["1.5", "2,5"], {"decimal": ","}, ["1.5", "2,5"]),
    ],
)
def test_marks_in_numbers(tmp_path: Path, cells: list[str], keys: dict[str, str], found: list[Any]) -> None:
    rows = "".join(f"{number};2024-01-01;{cell}\n" for number, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"id;at;x\n{rows}")
    assert values(read(tmp_path, "t.csv", delimiter=";", **keys))["x"] == found


def test_one_mark_has_one_meaning(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TEXT)
    with pytest.raises(ValueError, match="decimal and thousands are both"):
        read(tmp_path, "t.csv", thousands=".")
    with pytest.raises(ValueError, match="quote and delimiter are the same mark"):
        read(tmp_path, "t.csv", quote=";", delimiter=";")


@pytest.mark.parametrize(
    ("cells", "keys", "found"),
    [
        (["NA", '"NA"', '""', ""], {}, [None, "NA", None, None]),
        (["NULL", "na", "-", "NA"], {}, ["NULL", "na", "-", None]),
        (["NA", '"NA"', "-", '"-"'], {"null_words": ["-"]}, ["NA", "NA", None, None]),
        (["NA", '"NA"', "x", ""], {"null_words": []}, ["NA", "NA", "x", None]),
        (["1", "-", "?", ""], {"null_words": ["-", "?"]}, [1, None, None, None]),
        (['""', "", '"-"', "x"], {"null_words": ["-"]}, [None, None, None, "x"]),
        (['""', "", '"-"', "x"], {"null_words": []}, [None, None, "-", "x"]),
        (["''", "", "'NA'", '""'], {"quote": "'"}, [None, None, "NA", '""']),
        (["''", "", "'NA'", '""'], {"quote": ""}, ["''", None, "'NA'", '""']),
        (["", '"a"', '" "', '"\n"'], {}, [None, "a", " ", "\n"]),
        (['""', '""', '"a"', '""'], {}, [None, None, "a", None]),
        (['""""', '"a""b"', "", '"NA"'], {}, ['"', 'a"b', None, "NA"]),
    ],
)
def test_null_words(tmp_path: Path, cells: list[str], keys: dict[str, Any], found: list[Any]) -> None:
    rows = "".join(f"{number},2024-01-01,{cell},1\n" for number, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"id,at,s,x\n{rows}")
    assert values(read(tmp_path, "t.csv", **keys))["s"] == found


# D16: names of files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v*", "v?", "v[12]", "v[", "[v]*"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_name_with_signs_of_a_glob_is_that_file(tmp_path: Path, name: str, ending: str) -> None:
    for number, stem in enumerate([name, "v1", "v2", "v12"], 1):
        rows = pa.table({"id": [number], "at": ["2024-01-01"], "x": [1.5]})
        if ending == ".csv":
            (tmp_path / f"{stem}.csv").write_text(f"id,at,x\n{number},2024-01-01,1.5\n")
        else:
            pq.write_table(rows, tmp_path / f"{stem}.parquet")
    assert values(read(tmp_path, f"{name}{ending}"))["id"] == [1]


def test_a_folder_with_signs_of_a_glob(tmp_path: Path) -> None:
    folder = tmp_path / "data [1]*"
    folder.mkdir()
    (folder / "t.csv").write_text(TEXT)
    assert values(read(folder, "t.csv")) == VALUES
