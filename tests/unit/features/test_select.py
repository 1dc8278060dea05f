"""`select`: columns that are read of a source; others are not read from where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pydantic import ValidationError

from one_table import problem_of, read
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.csv import Dialect
from proml_kedro.features.tables.text import reading_of
from shop import HARDWARE

ROWS = pa.table({"id": [1, 2, 3], "X": [0.5, None, 2.0], "s": ["aaaaaaaa", "bbbbbbbb", "cccccccc"], "y": [7, 8, 9]})


def spoil(file: Path, column: int) -> None:
    """Overwrite the pages of a column, so that whoever reads it fails."""
    place = pq.read_metadata(file).row_group(0).column(column)
    start = place.dictionary_page_offset if place.has_dictionary_page else place.data_page_offset
    content = bytearray(file.read_bytes())
    content[start : start + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    file.write_bytes(content)


def write(folder: Path, sort: str) -> tuple[str, list[Path]]:
    """The rows in a source, and its Parquet files."""
    if sort == "delta":
        write_deltalake(folder / "t", ROWS)
    elif sort == "folder":
        for day in (1, 2):
            (folder / "t" / f"day={day}").mkdir(parents=True)
            pq.write_table(ROWS.slice(3 * (day - 1)), folder / "t" / f"day={day}" / "p.parquet")
    elif sort == "parquet":
        pq.write_table(ROWS, folder / "t.parquet")
    else:
        (folder / "t.csv").write_text('id,X,s,y\n1,0.5,"aaaaaaaa",7\n2,,bbbbbbbb,8\n3,2.0,cccccccc,9\n')
    return {"parquet": "t.parquet", "csv": "t.csv"}.get(sort, "t"), sorted(folder.rglob("*.parquet"))


@pytest.mark.parametrize("sort", ["parquet", "folder", "delta", "csv"])
def test_columns_in_the_order_of_the_source(sort: str, tmp_path: Path) -> None:
    source, _ = write(tmp_path, sort)
    found = read(tmp_path, problem_of(source=source, select=["y", "x", "ID"]))
    assert found.to_pydict() == ROWS.select(["id", "X", "y"]).to_pydict()


@pytest.mark.parametrize("sort", ["parquet", "delta"])
def test_other_columns_are_not_read(sort: str, tmp_path: Path) -> None:
    source, (file,) = write(tmp_path, sort)
    spoil(file, 2)
    with pytest.raises(UserError):
        read(tmp_path, problem_of(source=source))
    found = read(tmp_path, problem_of(source=source, select=["id", "y"], columns={"twice": "2 * y"}))
    assert found.to_pydict() == {"id": [1, 2, 3], "y": [7, 8, 9], "twice": [14, 16, 18]}


def test_the_engine_reads_no_other_columns_of_parquet(tmp_path: Path) -> None:
    write(tmp_path, "parquet")
    with connect(HARDWARE) as session:
        plan = "".join(map(str, session.rows(f"EXPLAIN SELECT id, y FROM {session.parquet(tmp_path / 't.parquet')}")))
        assert "id" in plan
        assert " s " not in plan


def test_cells_of_other_columns_of_csv_are_not_cast(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x,y\n1,one,2\n3,two,4\n")
    plain = Dialect().plain(tmp_path / "t.csv")
    batches = plain.batches({"id": reading_of("BIGINT"), "y": reading_of("BIGINT")})
    assert batches is not None
    assert batches.read_all().to_pydict() == {"id": [1, 3], "y": [2, 4]}
    found = read(tmp_path, problem_of(source="t.csv", select=["id", "y"]))
    assert found.to_pydict() == {"id": [1, 3], "y": [2, 4]}


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ({"select": ["id", "yy"]}, "select.1", "no column 'yy'"),
        ({"select": ["id"], "types": {"y": "VARCHAR"}}, "types.y", "no column 'y'"),
        ({"select": ["id"], "columns": {"z": "y + 1"}}, "columns.z", "y"),
    ],
)
def test_what_is_not_selected_is_not_there(table: dict[str, Any], key: str, said: str, tmp_path: Path) -> None:
    source, _ = write(tmp_path, "parquet")
    with pytest.raises(UserError) as caught:
        read(tmp_path, problem_of(source=source, **table))
    (mistake,) = caught.value.mistakes
    assert mistake.key == f"problem.tables.t.{key}"
    assert said in mistake.message


def test_a_query_names_its_columns_itself() -> None:
    with pytest.raises(ValidationError, match="select names columns of a source"):
        problem_of(query="SELECT 1 AS id", select=["id"])
