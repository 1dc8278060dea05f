"""PostgreSQL: values come as the server has them, to the last digit, and one line tells what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import one_table
from postgresql_server import postgresql_server
from proml_kedro.errors import RetriableError, UserError
from proml_kedro.features.tables.read import source_fingerprint
from proml_kedro.spec.problem import ProblemSpec


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


def run(server: str, *statements: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(server, autocommit=True) as connection, connection.cursor() as cursor:
        for one in statements:
            cursor.execute(one)


def problem(server: str, **table: Any) -> ProblemSpec:
    return one_table.problem_of("1", source=server, **table)


def read(server: str, folder: Path, **table: Any) -> pa.Table:
    return one_table.read(folder, problem(server, **table))


def refused(server: str, folder: Path, **table: Any) -> str:
    with pytest.raises(UserError) as error:
        read(server, folder, **table)
    return str(error.value)


@pytest.mark.parametrize(
    ("type_", "written", "found"),
    [
        ("int2", ["-32768", None], [-32768, None]),
        ("int8", ["9007199254740993", "-9223372036854775808"], [2**53 + 1, -(2**63)]),
        ("float8", ["0.1", "NaN", "Infinity", "5e-324"], [0.1, None, math.inf, 5e-324]),
        ("numeric(10,2)", ["3.10", None, "99999999.99"], [Decimal("3.10"), None, Decimal("99999999.99")]),
        ("numeric(38,0)", ["9" * 38], [Decimal("9" * 38)]),
        ("numeric(40,2)", ["1.25", "3"], [1.25, 3.0]),
        ("numeric(3,5)", ["0.00123"], [0.00123]),
        ("numeric", ["1.5000000000000000", "0.000000000000000123", "-Infinity"], [1.5, 1.23e-16, -math.inf]),
        ("numeric", ["9007199254740993", "1"], ["9007199254740993", "1"]),
        ("numeric", ["0.1234567890123456", None], ["0.1234567890123456", None]),
        ("numeric", ["NaN", "2"], [None, 2.0]),
        ("money", ["1234.50", "-0.07"], [1234.5, -0.07]),
        ("text", ["007", "", "a\nb", "ünï", "NULL"], ["007", "", "a\nb", "ünï", "NULL"]),
        ("char(5)", ["ab", "abcde"], ["ab", "abcde"]),
        ("bool", ["t", None, "f"], [True, None, False]),
        ("uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"], ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ("jsonb", ['{"a": [1, null]}'], ['{"a": [1, null]}']),
        ("date", ["2024-02-29", None], [date(2024, 2, 29), None]),
        ("timestamp", ["2024-01-01 10:00:00.123456"], [datetime(2024, 1, 1, 10, 0, 0, 123456)]),
        ("timestamptz", ["2024-01-01 10:00+05"], [datetime(2024, 1, 1, 5, tzinfo=UTC)]),
        ("interval", ["1 day 02:00"], ["P1DT2H"]),
        ("time", ["10:30"], ["10:30:00"]),
        ("int[]", ["{1,2}", None], [[1, 2], None]),
        ("float8[]", ["{0.5,-1}"], [[0.5, -1.0]]),
        ("inet", ["10.0.0.1/8"], ["10.0.0.1/8"]),
    ],
)
def test_types(server: str, tmp_path: Path, type_: str, written: list[str | None], found: list[Any]) -> None:
    cells = ", ".join(
        f"({number}, {'NULL' if one is None else chr(39) + one + chr(39)})" for number, one in enumerate(written)
    )
    run(
        server,
        "DROP TABLE IF EXISTS t",
        f'CREATE TABLE t (id int PRIMARY KEY, "X y" {type_})',
        f"INSERT INTO t VALUES {cells}",
    )
    assert read(server, tmp_path, table="t")["X y"].to_pylist() == found


def test_rows_come_in_the_order_of_the_key_of_any_schema(server: str, tmp_path: Path) -> None:
    run(
        server,
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.orders (a int, gone int, b text, PRIMARY KEY (b, a))",
        "ALTER TABLE sales.orders DROP COLUMN gone",
        "INSERT INTO sales.orders VALUES (2, 'x'), (1, 'y'), (1, 'x')",
        'CREATE VIEW "Odd view" AS SELECT a FROM sales.orders ORDER BY a DESC',
    )
    assert read(server, tmp_path, table="sales.orders").to_pydict() == {"a": [1, 2, 1], "b": ["x", "x", "y"]}
    assert read(server, tmp_path, table="Odd view").to_pydict() == {"a": [2, 1, 1]}
    assert "no table 'orders' that this user sees. Did you mean 'sales.orders'?" in refused(
        server, tmp_path, table="orders"
    )


def test_the_digest_follows_the_rows(server: str, tmp_path: Path) -> None:
    run(server, "CREATE TABLE d (id int, x float8)", "INSERT INTO d VALUES (1, 0.1), (2, 0.2), (2, 0.2)")
    table = problem(server, table="d").tables["t"]

    def digest() -> str:
        return source_fingerprint("t", table, tmp_path)

    first = digest()
    assert digest() == first
    seen = {first}
    for change in (
        "UPDATE d SET x = 0.30000000000000004 WHERE id = 1",
        "UPDATE d SET x = 0.3 WHERE id = 1",
        "DELETE FROM d WHERE ctid = (SELECT ctid FROM d WHERE id = 2 LIMIT 1)",
        "INSERT INTO d VALUES (NULL, NULL)",
        "ALTER TABLE d ALTER id TYPE text",
        "ALTER TABLE d RENAME x TO y",
    ):
        run(server, change)
        seen.add(digest())
    assert len(seen) == 7


def test_infinite_moments_are_refused(server: str, tmp_path: Path) -> None:
    run(server, "CREATE TABLE e (id int, until date)", "INSERT INTO e VALUES (1, 'infinity'), (2, '2024-01-01')")
    assert refused(server, tmp_path, table="e") == (
        "problem.tables.t.table: 'until' is infinite in 1 rows, which is no moment; "
        "name a view that has null there: nullif(\"until\", 'infinity')"
    )


def test_what_goes_wrong_is_one_line(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(server, "CREATE ROLE secretive LOGIN PASSWORD 'geheim'", "CREATE TABLE s (id int)", "INSERT INTO s VALUES (1)")
    other = server.replace("me@", "secretive@")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert refused(other, tmp_path, table="s").endswith("no password supplied; set the variable PGPASSWORD")
    monkeypatch.setenv("PGPASSWORD", "geheim")
    assert "permission denied for table s" in refused(other, tmp_path, table="s")
    run(server, "GRANT SELECT ON s TO secretive")
    assert read(other, tmp_path, table="s")["id"].to_pylist() == [1]
    monkeypatch.setenv("PGPASSWORD", "falsch!")
    message = refused(other, tmp_path, table="s")
    assert 'password authentication failed for user "secretive"' in message
    assert "falsch" not in message
    assert "\n" not in message
    assert 'database "nothing" does not exist' in refused(server.replace("/postgres", "/nothing"), tmp_path, table="s")
    port = server.rpartition(":")[2].partition("/")[0]
    with pytest.raises(RetriableError, match="Connection refused"):
        read(server.replace(port, "1"), tmp_path, table="s")
    with pytest.raises(ValueError, match=r"no name of a table; write for example orders, or sales\.orders"):
        problem(server, table="a.b.c")
    with pytest.raises(ValueError, match="table"):
        problem(server)


def test_nothing_is_written_to_the_server(server: str, tmp_path: Path) -> None:
    run(
        server,
        "CREATE TABLE w (id int)",
        "CREATE FUNCTION leave() RETURNS int AS 'INSERT INTO w VALUES (2) RETURNING id' LANGUAGE sql VOLATILE",
        "CREATE VIEW writing AS SELECT leave() AS id",
    )
    assert "read-only transaction" in refused(server, tmp_path, table="writing")


def test_the_facts_name_neither_password_nor_server_settings(server: str, tmp_path: Path) -> None:
    run(
        server,
        "CREATE TABLE f (id int)",
        "INSERT INTO f VALUES (1)",
        "ALTER ROLE me SET DateStyle = 'German'",
        "ALTER ROLE me SET TimeZone = 'Asia/Tokyo'",
        "CREATE TABLE g (id int, r tstzrange)",
        "INSERT INTO g VALUES (1, '[2024-01-01,)')",
    )
    read(server, tmp_path, table="f")
    assert json.loads((tmp_path / "out" / "tables.json").read_text())["rows"]["t"] == 1
    assert read(server, tmp_path, table="g")["r"].to_pylist() == ['["2024-01-01 00:00:00+00",)']


def test_columns_that_are_not_selected_are_not_asked_for(server: str, tmp_path: Path) -> None:
    run(
        server,
        'CREATE TABLE some_of_it (id int, until date, "X" text)',
        "INSERT INTO some_of_it VALUES (1, 'infinity', 'a')",
    )
    assert "'until' is infinite" in refused(server, tmp_path, table="some_of_it")
    assert read(server, tmp_path, table="some_of_it", select=["x", "id"]).to_pydict() == {"id": [1], "X": ["a"]}
    run(server, "CREATE TABLE all_of_it (id int)", "INSERT INTO all_of_it VALUES (1)")
    assert "no column 'idd'" in refused(server, tmp_path, table="all_of_it", select=["idd"])
