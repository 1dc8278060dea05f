"""SQLite: cells come as they are, whatever the declared type says, and one line tells what is wrong."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import one_table
from proml_kedro.errors import RetriableError, UserError
from proml_kedro.features.tables.read import source_fingerprint
from proml_kedro.spec.problem import ProblemSpec
from tiers import examples


def write(file: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for one in statements:
            connection.execute(one)
        if rows:
            connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)


def problem(**table: Any) -> ProblemSpec:
    return one_table.problem_of(source="shop.db", **table)


def read(folder: Path, **table: Any) -> pa.Table:
    return one_table.read(folder, problem(**table))


def refused(folder: Path, **table: Any) -> str:
    with pytest.raises(UserError) as error:
        read(folder, **table)
    return str(error.value)


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
KINDS = st.sampled_from(["INTEGER", "REAL", "TEXT", "", "DATE", "NUMERIC"])


def same(found: Any, cell: Any) -> bool:
    """A cell as it was, or as the one text that reads back to it."""
    if found is None or cell is None:
        return found is cell
    if isinstance(found, str):
        return (
            found == cell
            if isinstance(cell, str)
            else type(cell)(found) == cell
            and ("." in found or "e" in found or "inf" in found) == isinstance(cell, float)
        )
    return not isinstance(cell, str) and found == cell and (not isinstance(found, int) or isinstance(cell, int))


@given(data=st.data())
@examples(40, 400)
def test_whatever_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("sqlite")
    kinds = data.draw(st.lists(KINDS, min_size=1, max_size=4))
    rows = data.draw(st.lists(st.tuples(*[CELLS] * len(kinds)), min_size=1, max_size=8))
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    numbered = [(number, *row) for number, row in enumerate(rows)]
    write(folder / "shop.db", f"CREATE TABLE t (id, {columns})", rows=numbered)
    with closing(sqlite3.connect(folder / "shop.db")) as connection:  # what SQLite made of it, by its own rules
        wanted = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    found = read(folder)
    for number in range(len(kinds)):
        cells = [row[number + 1] for row in wanted]
        values = found[f"c{number}"].to_pylist()
        assert all(map(same, values, cells)), f"{values} for {cells}"


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([1, None, 2], [1, None, 2]),
        ([1, 2.5], [1.0, 2.5]),
        ([2**53 + 1, 2.5], ["9007199254740993", "2.5"]),
        ([2**53, 2.5], [float(2**53), 2.5]),
        (["007", 7], ["007", "7"]),
        ([0.1 + 0.2, "x"], ["0.30000000000000004", "x"]),
        ([math.inf, -1.5], [math.inf, -1.5]),
        ([b"\x00\xff"], [b"\x00\xff"]),
        (["a\nb", "ünï"], ["a\nb", "ünï"]),
    ],
)
def test_kinds_of_cells(tmp_path: Path, cells: list[Any], found: list[Any]) -> None:
    write(tmp_path / "shop.db", "CREATE TABLE t (id, x)", rows=list(enumerate(cells)))
    assert read(tmp_path)["x"].to_pylist() == found


def test_declared_types_apply(tmp_path: Path) -> None:
    write(tmp_path / "shop.db", "CREATE TABLE t (id, at, day)", rows=[(1, "2024-03-01 10:00:00", "31/01/2024")])
    table = read(tmp_path, types={"id": "VARCHAR", "at": "TIMESTAMPTZ"}, date_format={"day": "%d/%m/%Y"})
    assert table["id"].to_pylist() == ["1"]
    assert str(table["at"][0].as_py()) == "2024-03-01 10:00:00+00:00"
    assert str(table["day"][0].as_py()) == "2024-01-31"


def test_rows_of_a_covering_index_come_in_the_order_of_the_table(tmp_path: Path) -> None:
    rows = [(one * 7 % 20,) for one in range(20)]
    write(tmp_path / "shop.db", "CREATE TABLE t (id)", "CREATE INDEX i ON t (id)", rows=rows)
    assert [(one,) for one in read(tmp_path)["id"].to_pylist()] == rows


@pytest.mark.parametrize(
    "table", ["CREATE TABLE t (id PRIMARY KEY, rowid) WITHOUT ROWID", "CREATE TABLE t (id, rowid)"]
)
def test_tables_without_a_row_number_to_order_by(tmp_path: Path, table: str) -> None:
    write(tmp_path / "shop.db", table, rows=[(2, 8), (1, 9)])
    assert sorted(read(tmp_path)["rowid"].to_pylist()) == [8, 9]


def test_a_view_and_more_columns_than_a_query_takes(tmp_path: Path) -> None:
    names = ", ".join(f"c{one}" for one in range(1_000))
    write(
        tmp_path / "shop.db",
        f"CREATE TABLE wide (id, {names})",
        f"INSERT INTO wide VALUES ({', '.join(map(str, range(1_001)))})",
        "CREATE VIEW v AS SELECT id, c999, 'one''s' AS text FROM wide",
    )
    assert read(tmp_path, table="wide")["c998"].to_pylist() == [999]
    assert read(tmp_path, table="V").to_pylist() == [{"id": 0, "c999": 1000, "text": "one's"}]


def test_what_is_not_checkpointed_is_read_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        with connection:
            connection.execute("CREATE TABLE t (id)")
            connection.execute("INSERT INTO t VALUES (1)")
        table = problem().tables["t"]
        first = source_fingerprint("t", table, tmp_path)
        assert read(tmp_path)["id"].to_pylist() == [1]
        with connection:
            connection.execute("INSERT INTO t VALUES (2)")
        assert source_fingerprint("t", table, tmp_path) != first
        assert read(tmp_path)["id"].to_pylist() == [1, 2]


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "shop.db", "CREATE TABLE orders (id)", "CREATE VIEW recent AS SELECT * FROM orders")
    assert refused(tmp_path) == (
        "problem.tables.t.table: 'shop.db' holds 2 tables and views, so name one with table: orders, recent"
    )
    assert refused(tmp_path, table="order") == "problem.tables.t.table: no table 'order'. Did you mean 'orders'?"
    assert refused(tmp_path, table="orders") == "problem.tables.t.source: 'shop.db' has no rows"
    write(tmp_path / "shop.db", "CREATE TABLE t (id, x)", rows=[(1, b"a"), (2, "b")])
    assert "'x' of 't' holds bytes in some rows and other values in others" in refused(tmp_path, table="t")
    write(tmp_path / "shop.db", "INSERT INTO orders VALUES (CAST(x'ff61' AS TEXT))")
    assert "problem.tables.t.source: 'shop.db': Could not decode to UTF-8 column 'id'" in refused(
        tmp_path, table="orders"
    )
    content = (tmp_path / "shop.db").read_bytes()
    (tmp_path / "shop.db").write_bytes(b"no database at all" * 99)
    assert refused(tmp_path) == "problem.tables.t.source: 'shop.db' is no SQLite database, or an encrypted one"
    (tmp_path / "shop.db").write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "'shop.db' is damaged" in refused(tmp_path, table="orders")


def test_a_database_that_is_locked_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "shop.db", "CREATE TABLE t (id)", rows=[(1,)])
    monkeypatch.setattr("proml_kedro.features.tables.readers.sqlite._BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetriableError, match=r"another program writes to 'shop\.db'; try again"):
            read(tmp_path)
