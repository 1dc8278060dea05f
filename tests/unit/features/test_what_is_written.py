"""What is read is what the files say: types, dates and keys, each case with its siblings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.examples import examples_sql
from proml_kedro.features.views.compute import compute_views
from proml_kedro.results import TablesFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE

DAYS = [date(2024, 1, 1) + timedelta(days=one) for one in range(60)]
Z = {"z": {"dtype": "float"}}


class Case:
    """Examples ``ex`` and events ``ev`` in a folder, read, and a view ``v`` of the events by the key ``k``."""

    def __init__(self, folder: Path, features: Mapping[str, Any] = Z, **tables: Any) -> None:
        self.folder = folder
        self.tables, self.views = folder / "tables", folder / "views"
        view = {"key": "k", "source": {"table": "ev", "event_time": "at"}, "features": features}
        sources = {name: {"source": self._source(name), **tables.pop(name, {})} for name in ("ex", "ev")}
        request = tables.pop("request", None)
        self.features = FeaturesSpec.model_validate(
            {"v": view, **({"r": {"source": "request", "features": request}} if request else {})}
        )
        self.problem = ProblemSpec.model_validate(
            {
                "name": "p",
                "tables": {**sources, **tables},
                "examples": {"table": "ex", "entities": ["k"], "timestamp": "at"},
                "label": {"expression": "y = 1"},
                "split": {"validation_from": "2024-02-01", "test_from": "2024-02-20"},
            }
        )

    def _source(self, name: str) -> str:
        return next(one.name for one in sorted(self.folder.iterdir()) if one.name.startswith(f"{name}."))

    def read(self) -> Case:
        self.tables.mkdir()
        self.views.mkdir()
        read_tables(self.problem, self.features, self.folder, HARDWARE, self.tables)
        compute_views(self.problem, self.features, self.tables, HARDWARE, self.views)
        return self

    def refused(self) -> str:
        with pytest.raises(UserError) as caught:
            self.read()
        assert not (self.views / "v.parquet").exists()
        return str(caught.value)

    def column(self, name: str, table: str = "ex") -> list[Any]:
        return pq.read_table(self.tables / f"{table}.parquet")[name].to_pylist()

    @property
    def facts(self) -> TablesFacts:
        return TablesFacts.read(self.tables)

    def values(self, feature: str = "z") -> list[Any]:
        """The feature's last value before each example, in the order of the examples."""
        with connect(HARDWARE) as session:
            sql = examples_sql(self.problem, [], Tables(session, self.tables))
            examples = session.arrow(f"SELECT k, event_timestamp FROM ({sql}) ORDER BY example_id")
        view = pq.read_table(self.views / "v.parquet")
        query = (
            f"SELECT (SELECT arg_max({feature}, v.event_timestamp) FROM view v WHERE v.k = e.k AND v.event_timestamp "
            "<= e.event_timestamp) FROM (SELECT *, row_number() OVER () AS n FROM examples) e ORDER BY n"
        )
        assert examples["k"].type == view["k"].type, "a key has one type"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("examples", examples)
            connection.register("view", view)
            return [one for (one,) in connection.execute(query).fetchall()]


def write(file: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    file.write_text("\n".join(lines) + "\n")


def examples(folder: Path, keys: Sequence[Any], **columns: Sequence[Any]) -> None:
    n = len(keys)
    write(folder / "ex.csv", {"k": keys, "at": DAYS[5 : 5 + n], "y": [one % 2 for one in range(n)], **columns})


def events(folder: Path, keys: Sequence[Any], **columns: Sequence[Any]) -> None:
    columns.setdefault("z", [one + 0.5 for one in range(len(keys))])
    write(folder / "ev.csv", {"k": keys, "at": ["2024-01-01"] * len(keys), **columns})


def parquet(file: Path, keys: pa.Array, **columns: Any) -> None:
    n = len(keys)
    moments = pa.array([datetime(2024, 1, 1 if file.stem == "ev" else 5, tzinfo=UTC)] * n, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"k": keys, "at": moments, **columns}), file)


# D1, D7: the text of the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["True", "False", "true", "FALSE"],
        ["1e5", "2.50", "0x1A", "9:05"],
        ["007", "1_000", "+49", "1.10"],
        ["2024-01-01", "2024-01-02", "2024-1-3", "01/02/2024"],
        ["yes", "no", "NaN", "inf"],
    ],
)
@pytest.mark.parametrize("by", ["r", "v", "expression", "types"])
def test_declared_text_is_the_text_of_the_file(tmp_path: Path, cells: list[str], by: str) -> None:
    examples(tmp_path, [1, 2, 3, 4], flag=cells)
    events(tmp_path, [1, 2, 3, 4], s=cells)
    text = {"dtype": "str"}
    feature = {"flag": text} if by == "r" else {"other": {**text, "expression": "flag"}} if by == "expression" else None
    case = Case(
        tmp_path,
        {**Z, "s": text} if by == "v" else Z,
        request=feature,
        ex={"types": {"flag": "text"}} if by == "types" else {},
    ).read()
    assert (case.column("s", "ev") if by == "v" else case.column("flag")) == cells
    assert by != "v" or case.values("s") == cells


def test_truth_values_have_one_meaning(tmp_path: Path) -> None:
    examples(tmp_path, range(8), flag=["True", "FALSE", "yes", "No", "1", "0", "t", "n"])
    events(tmp_path, [1])
    case = Case(tmp_path, request={"flag": {"dtype": "bool"}}).read()
    assert case.column("flag") == [True, False] * 4
    assert case.facts.columns["ex"]["flag"].why == "declared by r.flag"


@pytest.mark.parametrize(
    ("cells", "type_", "values"),
    [
        (["1", "2", ""], "BIGINT", [1, 2, None]),
        (["1", "2.50", "-3e2"], "DOUBLE", [1, 2.5, -300]),
        (["1", "nan", "inf"], "DOUBLE", [1, None, float("inf")]),
        (["true", "False", "NA"], "BOOLEAN", [True, False, None]),
        (["007", "8", "9"], "VARCHAR", ["007", "8", "9"]),
        (["+1", "2", "3"], "VARCHAR", ["+1", "2", "3"]),
        (["9223372036854775808", "1", "2"], "VARCHAR", ["9223372036854775808", "1", "2"]),
        (["1234567890123456789", "0.5", "2"], "VARCHAR", ["1234567890123456789", "0.5", "2"]),
        (["yes", "no", "yes"], "VARCHAR", ["yes", "no", "yes"]),
        (["0x1A", "1", "2"], "VARCHAR", ["0x1A", "1", "2"]),
        (["9:05", "10:00", "11:00"], "VARCHAR", ["9:05", "10:00", "11:00"]),
        (["2024-02-30", "2024-02-01", "2024-02-02"], "VARCHAR", ["2024-02-30", "2024-02-01", "2024-02-02"]),
        (["1_0", "2", "3"], "VARCHAR", ["1_0", "2", "3"]),
        (["1e400", "2.5", "3"], "VARCHAR", ["1e400", "2.5", "3"]),
    ],
)
def test_a_guess_loses_nothing(tmp_path: Path, cells: list[str], type_: str, values: list[Any]) -> None:
    examples(tmp_path, [1, 2, 3], g=cells)
    events(tmp_path, [1])
    case = Case(tmp_path).read()
    assert (case.facts.columns["ex"]["g"].type, case.column("g")) == (type_, values)


# D2, D3: numbers beyond 64 bits -----------------------------------------------------------------------------------

HUGE = [18446744073709551613, 18446744073709551614, 18446744073709551615]


@pytest.mark.parametrize("kind", ["csv", "parquet", "mixed"])
def test_ids_beyond_64_bits_stay_apart(tmp_path: Path, kind: str) -> None:
    if kind == "csv":
        examples(tmp_path, HUGE)
    else:
        parquet(tmp_path / "ex.parquet", pa.array(HUGE, pa.uint64()), y=[0, 1, 0])
    if kind == "parquet":
        parquet(tmp_path / "ev.parquet", pa.array(HUGE, pa.uint64()), z=[0.5, 1.5, 2.5])
    else:
        events(tmp_path, HUGE)
    assert Case(tmp_path).read().values() == [0.5, 1.5, 2.5]


def test_different_ids_beyond_64_bits_are_counted(tmp_path: Path) -> None:
    examples(tmp_path, ["a"])
    events(tmp_path, ["a"] * 4, item=[*HUGE, HUGE[0]])
    case = Case(tmp_path, {"n": {"agg": "count_distinct", "expression": "item", "windows": ["all"]}}).read()
    assert case.values("n_all") == [3]


def test_an_int_feature_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    examples(tmp_path, [1])
    events(tmp_path, [1, 2, 3], n=HUGE)
    line = Case(tmp_path, {"n": {"dtype": "int"}}).refused()
    assert "3 of 3 cells of 'n' are no whole numbers (BIGINT) (declared by v.n)" in line
    assert "types: {n: VARCHAR}" in line


# D4, D5, D6: keys have one type -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_examples", "in_events", "matching"),
    [
        (["yes", "no", "maybe"], ["yes", "no"], [0.5, 1.5, None]),
        (["true", "false", "TRUE"], ["true", "false"], [0.5, 1.5, None]),
        (["007", "7", "x"], ["7", "8"], [None, 0.5, None]),
        (["1", "2", "3"], ["1", "x"], [0.5, None, None]),
        (["1.0", "2.0", ""], ["1", "2"], [0.5, 1.5, None]),
        (["1.0", "2.0", "3.0"], ["1", "x"], [0.5, None, None]),
        (["1.0", "2.0", "x"], ["1.0", "2.0"], [0.5, 1.5, None]),
        (["1", "2", "3"], ["1.0", "2.0"], [0.5, 1.5, None]),
        (["1e5", "2e5", "x"], ["100000", "2e5"], [None, 1.5, None]),
        (["2024-01-01", "2024-01-02", "x"], ["2024-01-01", "2024-01-02"], [0.5, 1.5, None]),
    ],
)
def test_keys_match_as_they_are_written(
    tmp_path: Path, in_examples: list[str], in_events: list[str], matching: list[float | None]
) -> None:
    examples(tmp_path, in_examples)
    events(tmp_path, in_events)
    assert Case(tmp_path).read().values() == matching


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([1.0, 2.0, None], pa.float64()), pa.array([1, 2], pa.int64())),
        (pa.array([1, 2, None], pa.int32()), pa.array([1.0, 2.0], pa.float32())),
        (pa.array([1, 2, None], pa.uint64()), pa.array(["1", "2"])),
        (pa.array([1.0, 2.0, None], pa.float64()), pa.array(["1", "2.0"])),
    ],
)
def test_keys_of_different_types_match(tmp_path: Path, left: pa.Array, right: pa.Array) -> None:
    parquet(tmp_path / "ex.parquet", left, y=[0, 1, 0])
    parquet(tmp_path / "ev.parquet", right, z=[0.5, 1.5])
    case = Case(tmp_path).read()
    assert case.values() == [0.5, 1.5, None]


def test_keys_of_different_form_are_told(tmp_path: Path) -> None:
    examples(tmp_path, ["1.0", "2.0", "3.0"])
    events(tmp_path, ["1", "2"])
    (line,) = [one for one in Case(tmp_path).read().facts.warnings if one.startswith("key")]
    assert line == "key k: whole numbers written as 1.0 in ex, whole numbers in ev; all are taken as whole numbers"


@pytest.mark.parametrize("kind", ["csv", "double", "decimal"])
def test_a_key_with_a_fraction_is_nobodys(tmp_path: Path, kind: str) -> None:
    examples(tmp_path, [1, 2, 3])
    if kind == "csv":
        events(tmp_path, ["1", "1.5", "2.5"])
    else:
        type_ = pa.float64() if kind == "double" else pa.decimal128(10, 2)
        parquet(tmp_path / "ev.parquet", pa.array([1.0, 1.5, 2.5], pa.float64()).cast(type_), z=[0.5, 1.5, 2.5])
    case = Case(tmp_path).read()
    assert case.values() == [0.5, None, None]
    assert "ev.k: 2 rows have a key with a fraction, and belong to nobody" in case.facts.warnings


# D8, D9: dates ----------------------------------------------------------------------------------------------------


def firsts(form: str) -> list[str]:
    return [date(2024, month, 1).strftime(form) for month in range(1, 13)]


@pytest.mark.parametrize(
    "form", ["%m/%d/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%Y %H:%M", "%d/%m/%Y %I:%M %p"]
)
def test_ambiguous_dates_are_refused(tmp_path: Path, form: str) -> None:
    examples(tmp_path, [1] * 50)
    write(tmp_path / "ev.csv", {"k": [1] * 12, "at": firsts(form), "z": range(101, 113)})
    line = Case(tmp_path).refused()
    assert line.startswith("problem.tables.ev.date_format.at: every cell of 'at' can be read in ")
    assert f'date_format: {{at: "{form}"}}' in line, "both lines are written out"
    assert " is 2024-" in line or " is 20" in line


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y"])
def test_one_line_decides(tmp_path: Path, form: str) -> None:
    examples(tmp_path, [1] * 50)
    write(tmp_path / "ev.csv", {"k": [1] * 12, "at": firsts(form), "z": range(101, 113)})
    case = Case(tmp_path, ev={"date_format": {"at": form}}).read()
    assert case.values() == [101.0 if day < date(2024, 2, 1) else 102.0 for day in DAYS[5:55]], "no price of December"


def test_a_cell_of_another_form_is_said_to_be_none_of_the_form(tmp_path: Path) -> None:
    examples(tmp_path, [1])
    write(tmp_path / "ev.csv", {"k": [1, 1], "at": ["31/01/2024", "2024-01-31"], "z": [1, 2]})
    line = Case(tmp_path, ev={"date_format": {"at": "%d/%m/%Y"}}).refused()
    assert "1 of 2 cells of 'at' are not of the form %d/%m/%Y (problem.tables.ev.date_format): '2024-01-31'" in line


@pytest.mark.parametrize("cells", [["2024-01-31 10:00", "2024-01-30"], ["31/01/2024 10:00", "30/01/2024 11:00"]])
def test_a_day_does_not_lose_a_time(tmp_path: Path, cells: list[str]) -> None:
    examples(tmp_path, [1, 2], born=cells)
    events(tmp_path, [1])
    line = Case(tmp_path, ex={"types": {"born": "DATE"}}).refused()
    assert "no format reads its 2 cells" in line


def test_a_moment_in_another_zone_is_no_timestamp(tmp_path: Path) -> None:
    examples(tmp_path, [1, 2], born=["2024-01-31 10:00+02:00", "2024-01-30 10:00Z"])
    events(tmp_path, [1])
    assert "no format reads" in Case(tmp_path, ex={"types": {"born": "TIMESTAMP"}}).refused()


def test_dates_that_are_not_used_stay_text(tmp_path: Path) -> None:
    examples(tmp_path, [1] * 12, born=firsts("%m/%d/%Y"))
    events(tmp_path, [1])
    case = Case(tmp_path).read()
    assert case.column("born") == firsts("%m/%d/%Y")
    assert case.facts.columns["ex"]["born"].undecided == ("%d/%m/%Y", "%m/%d/%Y")


def test_dates_that_an_expression_uses_are_refused(tmp_path: Path) -> None:
    examples(tmp_path, [1] * 12, born=firsts("%m/%d/%Y"))
    events(tmp_path, [1])
    line = Case(tmp_path, request={"month": {"dtype": "int", "expression": "month(born)"}}).refused()
    assert "problem.tables.ex.date_format.born" in line


def test_a_late_date_decides(tmp_path: Path) -> None:
    examples(tmp_path, [1])
    dates = ["01/02/2024", "02/01/2024"] * 11_000 + ["03/25/2024"]
    write(tmp_path / "ev.csv", {"k": [1] * len(dates), "at": dates, "z": range(len(dates))})
    case = Case(tmp_path).read()
    assert case.column("at", "ev")[-1] == date(2024, 3, 25)
    assert case.column("at", "ev")[0] == date(2024, 1, 2)
    assert case.facts.columns["ev"]["at"].why == "guessed: only %m/%d/%Y reads every cell"


def test_dates_that_all_formats_read_alike_are_not_ambiguous(tmp_path: Path) -> None:
    examples(tmp_path, [1])
    write(tmp_path / "ev.csv", {"k": [1, 1], "at": ["01/01/2024", "02/02/2024"], "z": [1, 2]})
    assert Case(tmp_path).read().column("at", "ev") == [date(2024, 1, 1), date(2024, 2, 2)]


# D14: whole numbers are never rounded -----------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["3.7", "0x1A", "1_000", "2.5e0"])
def test_an_int_is_whole_or_refused(tmp_path: Path, cell: str) -> None:
    examples(tmp_path, [1, 2])
    events(tmp_path, [1, 2], n=["3.0", cell])
    line = Case(tmp_path, {"n": {"dtype": "int"}}).refused()
    assert f"1 of 2 cells of 'n' are no whole numbers (BIGINT) (declared by v.n): '{cell}' (row 2)" in line


@pytest.mark.parametrize("expression", [None, "n * 1.0"])
def test_a_float_that_is_declared_int_is_refused(tmp_path: Path, expression: str | None) -> None:
    examples(tmp_path, [1])
    parquet(tmp_path / "ev.parquet", pa.array([1, 1]), n=[3.0, 3.7])
    feature = {"dtype": "int", **({"expression": expression} if expression else {})}
    assert "1 of 2 values are no whole numbers" in Case(tmp_path, {"n": feature}).refused()


def test_threes_with_a_zero_are_three(tmp_path: Path) -> None:
    examples(tmp_path, [1, 2])
    events(tmp_path, [1, 2], n=["3.0", "9007199254740993"])
    assert Case(tmp_path, {"n": {"dtype": "int"}}).read().values("n") == [3, 9007199254740993]
