"""Plain CSV files by Arrow's parser: the same as by the engine's, and left to it where the two differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session, connect
from proml_kedro.features.tables.columns import Column, once_typed, typed
from proml_kedro.features.tables.csv import Dialect
from proml_kedro.features.tables.csv_values import PlainCsv
from proml_kedro.features.tables.text import PLAIN, guesses, reading_of
from shop import HARDWARE
from tiers import examples

FAST = ["BIGINT", "UTINYINT", "DOUBLE", "DATE", "BOOLEAN"]
SLOW = ["TINYINT", "SMALLINT", "INTEGER", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DECIMAL(9,2)", "TIMESTAMP"]
SLOW += ["TIMESTAMP WITH TIME ZONE", "VARCHAR"]
TYPES = FAST + SLOW
ODD = [
    "",
    "NA",
    "nan",
    "-nan",
    "NaN(1)",
    "inf",
    "+Infinity",
    "1e999",
    "-1e999",
    "1e-400",
    "4.9e-324",
    "1e0005",
    "1.",
    ".5",
]
ODD += [
    "+5",
    " 5",
    "5 ",
    "  ",
    "007",
    "-0",
    "-00",
    "3.0",
    "3.7",
    "1e5",
    "1e2",
    "0x1A",
    "0X1f",
    "1_000",
    "1d5",
    "5\t",
    "\x0b5",
]
ODD += [
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775808",
    "127",
    "128",
    "-128",
]
ODD += ["2024-01-05", " 2024-01-05 ", "2024-1-5", "20240105", "2024-02-30", "0000-01-01", "0001-01-01", "9999-12-31"]
ODD += ["2024-01-05 05", "2024-01-05 0530", "2024-01-05T05:30", "2024-01-05 05:30:10.1234567", "2024-01-05 00:00:00"]
ODD += ["2024-01-05 05:30Z", "2024-01-05 05:30+02", "2024-01-05 24:00:00", "2024-01-05 05:30:60", "infinity", "epoch"]
ODD += [
    "true",
    "True",
    "TRUE",
    "tRue",
    "t",
    "T",
    "yes",
    "Y",
    "1",
    "0",
    "0.0",
    "1.0",
    "No",
    " no",
    "on",
    "off",
    "null",
    "NULL",
]
ODD += [
    "0.1",
    "123456789.123456789123456789",
    "2.2250738585072011e-308",
    "17976931348623157" + "0" * 292,
    "1.005",
    "-.5e-3",
]
ODD += ["\u00a05", "５", "é", "a'b", "\\N", "\\", "#x", "a;b", "\ufeff1"]
LETTERS = st.text("0123456789+-.eE_ xXtfnai:TZ/'#;\\é", max_size=8)
GUESSES = guesses(PLAIN)
CELLS = st.sampled_from(ODD) | LETTERS | st.integers().map(str) | st.floats().map(repr) | st.dates().map(str)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with connect(HARDWARE) as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv") / "t.csv"


def both(session: Session, file: Path, content: bytes, columns: dict[str, Column], **dialect: Any) -> tuple[Any, Any]:
    """The rows by the engine's parser and by Arrow's; an error for a cell that is refused, None for a file."""
    file.write_bytes(content)
    plain = Dialect(**dialect)
    slow = _rows(typed(session.relation(plain.sql(file)), columns), session)
    with once_typed(plain.plain(file).batches, columns, session) as faster:
        return slow, None if faster is None else _rows(faster, session)


def _rows(relation: Relation, session: Session) -> Any:
    try:
        return session.arrow(f"SELECT * FROM {relation}")
    except EngineError as error:
        return error


def declared(type_: str) -> Column:
    return Column(reading_of(type_), type_, "")


def alike(session: Session, file: Path, cells: Sequence[str], column: Column, end: str = "\n") -> bool:
    """Whether a column of cells is read in the faster way; fails where that reads anything else."""
    lines = "".join(f"{position},{cell}{end}" for position, cell in enumerate(cells))
    columns = {"row": declared("BIGINT"), "cell": column}
    slow, fast = both(session, file, f"row,cell{end}{lines}".encode(), columns, delimiter=",")
    if fast is None or isinstance(fast, Exception):
        return False
    assert not isinstance(slow, Exception), f"{cells} are read as {fast['cell'].to_pylist()}, and are refused: {slow}"
    assert fast.schema == slow.schema
    found, true = (one["cell"].to_string() for one in (fast, slow))  # where nan equals nan, and 0 is not -0
    assert found == true, f"{cells}: {found}, not {true}"
    return True


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("type_", [*FAST, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)])
def test_each_odd_cell_alone(session: Session, file: Path, type_: str) -> None:
    read = [cell for cell in ODD if alike(session, file, [cell], declared(type_))]
    assert {"", "NA"} <= set(read)


def check_random(session: Session, file: Path, cells: list[str], type_: str, end: str) -> None:
    alike(session, file, cells, declared(type_), end)
    if type_ in GUESSES:
        alike(session, file, cells, Column(GUESSES[type_], type_, ""), end)


ENDS = st.sampled_from(["\n", "\r\n"])


@settings(SETTINGS, max_examples=examples(60, 150).max_examples)
@given(cells=st.lists(CELLS, min_size=1, max_size=4), type_=st.sampled_from(TYPES), end=ENDS)
def test_random_cells(session: Session, file: Path, cells: list[str], type_: str, end: str) -> None:
    check_random(session, file, cells, type_, end)


@pytest.mark.slow
@settings(SETTINGS, max_examples=1500)
@given(cells=st.lists(CELLS, min_size=1, max_size=3), type_=st.sampled_from(TYPES), end=ENDS)
def test_many_random_cells(session: Session, file: Path, cells: list[str], type_: str, end: str) -> None:
    check_random(session, file, cells, type_, end)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ('a,b\n1,"x"\n', {}),
        ("a,b\n1,x\r2,y\n", {}),
        ("a,b\r\n1,x\n", {}),
        ("a,b\n1,x\0\n", {}),
        ("a\nx\n\ny\n", {}),
        ("a,b\n0x1A,x\n", {}),
        ("a,b\n1,x\ty\n", {}),
        ("a§b\n1§x\n", {"delimiter": "§"}),
    ],
)
def test_files_that_are_left_to_the_engine(tmp_path: Path, text: str, dialect: dict[str, Any]) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert Dialect(**dialect).plain(tmp_path / "t.csv").batches({"a": reading_of("BIGINT")}) is None


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("a,b\n1,x\n\n2,y\n\n", {}),
        ("\ufeffa,b\n1,é\n", {}),
        ("a,b\r\n1,x\r\n2,\r\n", {}),
        ('a,b\n1,"x\n', {"quote": ""}),
        ("1;NA\n2;-\n", {"header": False, "names": ["a", "b"], "null_words": ["-"]}),
        ("a\tb\n1\tx\n", {}),
        ("a,b\n1,0x1A\n".replace("0x", "zx"), {}),
        ("a,b\n1,x\n2,y", {}),
    ],
)
def test_dialects_that_both_read(session: Session, file: Path, text: str, dialect: dict[str, Any]) -> None:
    columns = {"a": declared("BIGINT"), "b": declared("VARCHAR")}
    slow, fast = both(session, file, text.encode(), columns, **dialect)
    assert isinstance(fast, pa.Table), fast
    assert fast.equals(slow)


@pytest.mark.parametrize("line", ["1,x,y", "1", "1,\xff", "1,x,"])
def test_lines_that_are_refused_are_left_to_the_engine(session: Session, file: Path, line: str) -> None:
    content = b"a,b\n" + b"1,x\n" * 300_000 + line.encode("latin-1") + b"\n"
    _, fast = both(session, file, content, {"a": declared("BIGINT"), "b": declared("VARCHAR")})
    assert not isinstance(fast, pa.Table)


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n" + "".join(f"{one},{one % 7}\n" for one in range(400_000)))
    columns = {"a": declared("BIGINT"), "b": declared("INTEGER")}
    plain = PlainCsv(file, ",", ["a", "b"], True, '"', ["", "NA"])
    with connect(HARDWARE.model_copy(update={"threads": 4})) as session:
        with once_typed(plain.batches, columns, session) as faster:
            session.write_parquet(f"SELECT * FROM {faster}", tmp_path / "t.parquet")
        found = session.rows(
            f"SELECT count(*), count(*) FILTER (a <> file_row_number) FROM "
            f"read_parquet('{tmp_path / 't.parquet'}', file_row_number = true)"
        )
    assert found == [(400_000, 0)]
