"""Random tables in random dialects: what is read is what was written, or one line says what to write."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.results import TablesFacts
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE
from soaked import note
from tiers import examples

FORMATS = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%m-%d-%Y"]
TIMES = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S"]
ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "UBIGINT": pa.uint64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}
TAKEN = ("", "id", "at")
REMEDIES = ("write", "give all columns names", "needs")

characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff")
odd = ["NA", "nan", "007", "1.0", "1e5", "0x1A", "9:05", "yes", "True", "-", "1_000", "01/02/2024", ",;", '"', "a\r\nb"]
texts = st.one_of(st.text(characters, max_size=6), st.sampled_from(odd), st.sampled_from("0123456789").map(str))
numbers = st.floats(allow_nan=False, allow_infinity=True)
words = st.sampled_from([("true", "false"), ("True", "False"), ("yes", "no"), ("1", "0"), ("T", "F")])


@dataclass(frozen=True)
class Column:
    """A column: its true values, how they are written, and whether its type is declared."""

    type: str
    values: list[Any]
    cells: list[str | None]
    declared: bool
    format: str | None = None


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Column:
    kind = draw(st.sampled_from(list(ARROW)))
    made: dict[str, st.SearchStrategy[Any]] = {
        "VARCHAR": texts.filter(bool),
        "BIGINT": st.integers(-(2**63), 2**63 - 1),
        "UBIGINT": st.integers(0, 2**64 - 1),
        "DOUBLE": numbers,
        "BOOLEAN": st.booleans(),
        "DATE": st.dates(date(1900, 1, 1), date(2100, 12, 31)),
        "TIMESTAMP": st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 31)),
    }
    values = draw(st.lists(st.none() | made[kind], min_size=rows, max_size=rows))
    form = draw(st.sampled_from(FORMATS if kind == "DATE" else TIMES))
    if kind == "TIMESTAMP" and "%f" not in form:
        values = [one and one.replace(microsecond=0) for one in values]
    if kind == "BOOLEAN":
        yes, no = draw(words)
        cells = [None if one is None else yes if one else no for one in values]
    elif kind in ("DATE", "TIMESTAMP"):
        cells = [None if one is None else one.strftime(form) for one in values]
    else:
        cells = [None if one is None else repr(one) if kind == "DOUBLE" else str(one) for one in values]
    return Column(kind, values, cells, draw(st.booleans()), form if kind in ("DATE", "TIMESTAMP") else None)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Column]:
    rows = draw(st.integers(1, 6))
    # How lines end is told by the first record, in quotes too; see the how-to.
    letters = characters.filter(lambda one: one not in "\r\n")
    name = st.text(letters, min_size=1, max_size=5).map(str.strip).filter(lambda one: one.lower() not in TAKEN)
    names = draw(st.lists(name, max_size=5, unique_by=lambda one: one.lower()))
    return {
        "id": Column("BIGINT", list(range(rows)), [str(one) for one in range(rows)], False),
        "at": Column("DATE", [date(2024, 1, 1)] * rows, ["2024-01-01"] * rows, False, "%Y-%m-%d"),
        **{one: draw(columns(rows)) for one in names},
    }


@dataclass(frozen=True)
class Dialect:
    """How a file is written, and how much of that YAML says."""

    delimiter: str
    quote: str
    all_quoted: bool
    end: str
    encoding: str
    null: str
    header: bool
    said: bool

    def field(self, cell: str | None) -> str:
        if cell is None:
            return self.quote * 2 if self.all_quoted and not self.null else self.null
        special = {self.delimiter, self.quote, "\n", "\r"} & set(cell) or cell in ("NA", "") or cell != cell.strip()
        text = cell.replace(self.quote, self.quote * 2)
        return f"{self.quote}{text}{self.quote}" if self.all_quoted or special else text

    def text(self, table: Mapping[str, Column]) -> str:
        rows = [list(table)] if self.header else []
        rows += [list(one) for one in zip(*(column.cells for column in table.values()), strict=True)]
        return "".join(self.delimiter.join(map(self.field, row)) + self.end for row in rows)

    def yaml(self, table: Mapping[str, Column]) -> dict[str, Any]:
        keys: dict[str, Any] = {} if self.header else {"header": False, "names": list(table)}
        if self.quote != '"':
            keys["quote"] = self.quote
        if self.said:
            keys["delimiter"] = self.delimiter
        if self.encoding in ("latin-1", "utf-16-le", "shift_jis"):
            keys["encoding"] = self.encoding
        return keys


dialects = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from("\"'"),
    all_quoted=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "shift_jis"]),
    null=st.sampled_from(["", "NA"]),
    header=st.booleans(),
    said=st.booleans(),
)


def read(folder: Path, source: str, **table: Any) -> tuple[pa.Table, TablesFacts]:
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": source, **table}},
            "examples": {"table": "t", "entities": ["id"], "timestamp": "at"},
            "label": {"expression": "true"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )
    (folder / "out").mkdir()
    read_tables(problem, None, folder, HARDWARE, folder / "out")
    return pq.read_table(folder / "out" / "t.parquet"), TablesFacts.read(folder / "out")


def same(found: Any, written: str | None, column: Column, type_: str) -> bool:
    """Whether a value is what the cell says, as the type that was declared or guessed."""
    if written is None or (type_ == "DOUBLE" and written.lower() == "nan"):
        return found is None
    if type_ == "VARCHAR":
        return bool(found == written)
    if type_ == "BOOLEAN":
        return bool(found == (written.lower() in ("true", "yes", "1", "t")))
    if type_ == "DOUBLE":
        return bool(found == float(written))
    if type_ in ("BIGINT", "UBIGINT", "HUGEINT"):
        return bool(found == int(written))
    true = dict(zip(column.cells, column.values, strict=True))[written] if column.format else None
    moment = true or datetime.fromisoformat(written)
    as_moment = [
        datetime.combine(one, datetime.min.time()) if not isinstance(one, datetime) else one for one in (found, moment)
    ]
    return as_moment[0].replace(tzinfo=UTC) == as_moment[1].replace(tzinfo=UTC)


def check_csv(table: dict[str, Column], dialect: Dialect) -> None:
    assume(dialect.header or not any(set(one.cells[0] or "") & set("\r\n") for one in table.values()))
    try:
        content = dialect.text(table).encode(dialect.encoding)
        if content.decode(dialect.encoding) != dialect.text(table):
            return
    except UnicodeEncodeError:
        return
    declared = {name: one for name, one in table.items() if one.declared}
    keys = {
        "types": {name: one.type for name, one in declared.items()},
        "date_format": {name: one.format for name, one in declared.items() if one.format},
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_bytes(content)
        refusal = None
        try:
            found, facts = read(Path(folder), "t.csv", **keys, **dialect.yaml(table))
        except UserError as error:
            refusal = str(error)
    if refusal is not None:
        assert any(word in refusal for word in REMEDIES), f"without a remedy: {refusal}"
        assert not dialect.said, f"all is said, and it is refused: {refusal}"
        return
    assert found.column_names == list(table)
    for name, column in table.items():
        type_ = facts.columns["t"][name].type
        assert type_ == column.type or not column.declared
        for value, cell in zip(found[name].to_pylist(), column.cells, strict=True):
            assert same(value, cell, column, type_), f"{cell!r} is read as {value!r} in {name!r} of type {type_}"


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(SETTINGS, max_examples=examples(20, 40).max_examples)
@given(tables(), dialects)
def test_csv(table: dict[str, Column], dialect: Dialect) -> None:
    check_csv(table, dialect)


@pytest.mark.slow
@settings(SETTINGS, max_examples=120, derandomize=False)
@given(tables(), dialects)
def test_other_csv_each_time(table: dict[str, Column], dialect: Dialect) -> None:
    check_csv(table, dialect)


@pytest.mark.soak
def test_csv_at_length() -> None:
    files = 2000

    @settings(SETTINGS, max_examples=files, derandomize=False)
    @given(tables(), dialects)
    def search(table: dict[str, Column], dialect: Dialect) -> None:
        check_csv(table, dialect)

    search()
    note("Random tables in CSV of random dialects are read to what was written", files=files, wrong=0)


def check_parquet(table: dict[str, Column]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = {name: pa.array(one.values, ARROW[one.type]) for name, one in table.items()}
        pq.write_table(pa.table(made), Path(folder) / "t.parquet")
        found, _ = read(Path(folder), "t.parquet")
    for name, column in table.items():
        if name != "at":
            assert found[name].to_pylist() == column.values
            assert found[name].type == ARROW[column.type]


@settings(SETTINGS, max_examples=20)
@given(tables())
def test_parquet(table: dict[str, Column]) -> None:
    check_parquet(table)


@pytest.mark.slow
@settings(SETTINGS, max_examples=200, derandomize=False)
@given(tables())
def test_parquet_at_length(table: dict[str, Column]) -> None:
    check_parquet(table)
