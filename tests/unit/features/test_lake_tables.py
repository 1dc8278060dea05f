"""Arrow files, Delta tables and folders that only their logs can explain."""

from __future__ import annotations

import decimal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from one_table import problem_of, read
from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import source_fingerprint

ROWS = pa.table({"id": [1, 2, 3], "x": [0.5, None, 2.0], "s": ["a", "é", None]})


def fingerprint(folder: Path, **table: Any) -> str:
    return source_fingerprint("t", problem_of(**table).tables["t"], folder)


def refused(folder: Path, **table: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, problem_of(**table))
    (mistake,) = caught.value.mistakes
    assert mistake.key == "problem.tables.t.source"
    return mistake.message


def stream(rows: pa.Table, file: Path) -> None:
    with pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=1)


@pytest.mark.parametrize("name", ["t.feather", "t.arrow", "t.arrows", "t.IPC"])
@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "lz4"])
def test_arrow_files_and_streams(name: str, compression: str, tmp_path: Path) -> None:
    if name == "t.arrows":
        stream(ROWS, tmp_path / name)
    else:
        feather.write_feather(ROWS, tmp_path / name, compression=compression, chunksize=1)
    found = read(tmp_path, problem_of(source=name))
    assert found.to_pydict() == ROWS.to_pydict()
    assert found.schema.types == ROWS.schema.types


@pytest.mark.parametrize("names", [("x", "x"), ("x", "X"), ("Ä", "ä")])
@pytest.mark.parametrize("source", ["t.parquet", "rows", "t.feather", "t.arrows"])
def test_two_columns_of_one_name_are_refused(source: str, names: tuple[str, str], tmp_path: Path) -> None:
    rows = pa.table([pa.array([1, 2]), pa.array([3, 4]), pa.array([5, 6])], names=["id", *names])
    if source == "rows":  # the second file of a folder has them
        (tmp_path / "rows").mkdir()
        pq.write_table(rows.select(["id"]), tmp_path / "rows" / "1.parquet")
        pq.write_table(rows, tmp_path / "rows" / "2.parquet")
    elif source == "t.parquet":
        pq.write_table(rows, tmp_path / source)
    elif source == "t.arrows":
        stream(rows, tmp_path / source)
    else:
        feather.write_feather(rows, tmp_path / source)
    assert f"two columns are called '{names[1]}'" in refused(tmp_path, source=source)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_random_arrow_files_come_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("arrow")
    size = data.draw(st.integers(1, 20))
    moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
    kinds: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.float64(), st.floats(allow_nan=False)),
        (pa.string(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)),
        (pa.bool_(), st.booleans()),
        (pa.timestamp("us"), moments),
        (pa.timestamp("us", "UTC"), moments.map(lambda one: one.replace(tzinfo=UTC))),
        (pa.date32(), st.dates()),
        (pa.decimal128(20, 3), st.decimals(-(10**16), 10**16, places=3)),
    ]
    columns: dict[str, pa.Array] = {"id": pa.array(range(size))}
    for number, (kind, values) in enumerate(kinds):
        cells = data.draw(st.lists(st.none() | values, min_size=size, max_size=size))
        # text that all looks like another type is read as that: here it never does
        columns[f"c{number}"] = pa.array([f"_{one}" if kind == pa.string() and one else one for one in cells], kind)
    rows = pa.table(columns)
    feather.write_feather(rows, folder / "t.feather", chunksize=data.draw(st.integers(1, 7)))
    found = read(folder, problem_of(source="t.feather"))
    for name in rows.column_names:
        wanted = [one or None for one in rows[name].to_pylist()] if name == "c2" else rows[name].to_pylist()
        given_ = [one or None for one in found[name].to_pylist()] if name == "c2" else found[name].to_pylist()
        assert given_ == wanted, name


@pytest.mark.parametrize("size", [5, 100, 700])
def test_an_arrow_file_that_is_cut_is_refused(size: int, tmp_path: Path) -> None:
    feather.write_feather(ROWS, tmp_path / "t.arrow", compression="uncompressed")
    content = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(content[:size])
    assert refused(tmp_path, source="t.arrow") == "'t.arrow' is no whole Arrow file"
    assert not [*(tmp_path / "out").iterdir()]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([timedelta(1)], pa.duration("s")), "'x' holds durations; write them as numbers"),
        (pa.array([decimal.Decimal(1)], pa.decimal256(39, 2)), "'x' has numbers of 39 digits and at most 38 are kept"),
    ],
)
def test_types_that_would_change_are_refused(column: pa.Array, said: str, tmp_path: Path) -> None:
    feather.write_feather(pa.table({"id": [1], "x": column}), tmp_path / "t.arrow")
    assert said in refused(tmp_path, source="t.arrow")


def test_38_digits_are_kept(tmp_path: Path) -> None:
    value = decimal.Decimal("12345678901234567890123456789012345.678")
    rows = pa.table({"id": [1], "x": pa.array([value], pa.decimal128(38, 3))})
    feather.write_feather(rows, tmp_path / "t.arrow")
    assert read(tmp_path, problem_of(source="t.arrow"))["x"].to_pylist() == [value]


def test_more_digits_of_parquet_are_refused_and_not_rounded(tmp_path: Path) -> None:
    value = pa.array([decimal.Decimal("1" * 39)], pa.decimal256(39, 0))
    pq.write_table(pa.table({"id": [1], "x": value}), tmp_path / "t.parquet")
    assert "'x' has numbers of 39 digits and at most 38 are kept" in refused(tmp_path, source="t.parquet")


def test_only_rows_that_the_log_of_delta_names(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"id": [7, 8], "x": [1.0, 2.0], "s": ["old", "old"]}))
    write_deltalake(tmp_path / "t", ROWS, mode="overwrite")
    DeltaTable(tmp_path / "t").delete("id = 2")
    found = read(tmp_path, problem_of(source="t"))  # found by its log, without `reader`
    assert found.sort_by("id").to_pylist() == [ROWS.to_pylist()[0], ROWS.to_pylist()[2]]
    old = read(tmp_path, problem_of(source="t", reader="delta", version=0))
    assert old["id"].to_pylist() == [7, 8]


def test_delta_in_partitions_and_with_new_columns(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"id": [1, 2], "day": ["a b", "c/d"]}), partition_by=["day"])
    more = pa.table({"id": [3], "day": ["a b"], "y": [9]})
    write_deltalake(tmp_path / "t", more, mode="append", schema_mode="merge")
    found = read(tmp_path, problem_of(source="t")).sort_by("id")
    assert found.select(["id", "day", "y"]).to_pydict() == {
        "id": [1, 2, 3],
        "day": ["a b", "c/d", "a b"],
        "y": [None, None, 9],
    }


def test_a_new_version_of_delta_is_another_source(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    first = fingerprint(tmp_path, source="t")
    assert fingerprint(tmp_path, source="t", reader="delta") == first
    write_deltalake(tmp_path / "t", ROWS, mode="append")
    assert fingerprint(tmp_path, source="t") != first
    assert fingerprint(tmp_path, source="t", reader="delta", version=0) == first


def test_a_file_of_delta_that_is_missing_is_said(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    next((tmp_path / "t").glob("*.parquet")).unlink()
    assert "'t' cannot be read as a Delta table" in refused(tmp_path, source="t")


def test_no_version_and_no_table_of_delta(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    assert "'t' cannot be read as a Delta table" in refused(tmp_path, source="t", reader="delta", version=4)
    pq.write_table(ROWS, tmp_path / "u.parquet")
    assert "is no folder of a Delta table" in refused(tmp_path, source="u.parquet", reader="delta")


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("below/_delta_log/0.json", "holds a Delta table; name its own folder"),
        (".hoodie/hoodie.properties", "holds a Hudi table"),
        ("metadata/v1.metadata.json", "holds an Iceberg table"),
    ],
)
def test_a_folder_whose_log_is_not_read_is_refused(mark: str, said: str, tmp_path: Path) -> None:
    """All of its Parquet files would be read, those of deleted rows too."""
    file = tmp_path / "lake" / mark
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    pq.write_table(ROWS, tmp_path / "lake" / "1.parquet")
    assert said in refused(tmp_path, source="lake")
