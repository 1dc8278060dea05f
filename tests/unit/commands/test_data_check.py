"""`kedro data check`: one report for all that is dirty, or how each column was read and what is odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proml_kedro.commands.data_check import check_command

PROBLEM = """\
tables:
  ex: {source: ex.csv}
  ev: {source: ev.csv}
examples: {table: ex, entities: [k], timestamp: at}
label: {expression: said = 'yes'}
split: {validation_from: 2024-02-01, test_from: 2024-02-10}
"""
FEATURES = """\
r:
  source: request
  features:
    price: {dtype: float}
    visits: {dtype: int}
v:
  key: k
  source: {table: ev, event_time: at}
  features:
    z: {dtype: float}
    size: {dtype: float, expression: 'if(true, 1, 2)'}
"""


@pytest.fixture
def project(tmp_path: Path, make_project: Callable[[Path], Any]) -> Any:
    made = make_project(tmp_path)
    made.write("problem/shop.yaml", PROBLEM)
    made.write("features/shop.yaml", FEATURES)
    made.edit("model/trees.yaml", '[price.price, "spending.*", visit.hour]', "[v.z]")
    return made


def check(project: Any, *words: str) -> Result:
    words = (*words, f"data_dir={project.data}", "--conf-source", str(project.conf))
    return CliRunner().invoke(check_command(), list(words))


def reported(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "problem/shop.yaml:" in line]


def tables(project: Any, n: int = 50, **changes: Callable[[int], object]) -> None:
    cells: dict[str, Callable[[int], object]] = {
        "k": lambda one: one % 7,
        "at": lambda one: date(2024, 1, 1) + timedelta(days=one),
        "said": lambda one: "yes" if one % 3 else "no",
        "price": lambda one: one / 4,
        "visits": lambda one: one,
        "z": lambda one: one / 2,
        "key": lambda one: one % 7,
    }
    cells |= changes
    for table, columns in {"ex": ["k", "at", "said", "price", "visits"], "ev": ["key", "at", "z"]}.items():
        lines = [",".join("k" if name == "key" else name for name in columns)]
        lines += [",".join(str(cells[name](one)) for name in columns) for one in range(n)]
        (project.folder / f"{table}.csv").write_text("\n".join(lines) + "\n")


def test_all_that_is_dirty_is_one_report(project: Any) -> None:
    tables(
        project,
        price=lambda one: '"12,50"' if one % 10 == 3 else one,
        visits=lambda one: "-" if one == 4 else one,
        at=lambda one: f"{1 + one % 9:02d}/{1 + one % 9 if one % 9 else 12:02d}/2024",
        z=lambda one: "n/a" if one > 46 else one,
    )
    result = check(project)
    assert result.exit_code == 2
    lines = reported(result)
    assert len(lines) == 5, lines
    text = {line.split(": ")[1].removeprefix("problem.tables."): line for line in lines}
    assert set(text) == {"ex.types.price", "ex.types.visits", "ex.date_format.at", "ev.types.z", "ev.date_format.at"}
    price = text["ex.types.price"]
    assert "5 of 50 cells of 'price' are no numbers (DOUBLE) (declared by r.price)" in price
    assert "'12,50' (row 4), '12,50' (row 14), '12,50' (row 24)" in price, "three cells with their rows"
    assert price.endswith("""or columns: {price: "replace(price, ',', '.')::double"}""")
    assert 'write decimal: "," for all of the file, ' in price
    assert text["ex.types.visits"].endswith("'-' (row 5); write null_words: [NA, '-'] if these stand for nothing")
    assert "3 of 50 cells of 'z'" in text["ev.types.z"]
    assert [line.split(":")[1] for line in lines] == ["2", "2", "2", "3", "3"], "in the order of lines"
    assert not list(project.data.rglob("*.parquet")), "nothing was computed"


def test_the_line_that_it_writes_mends_it(project: Any) -> None:
    tables(project, price=lambda one: '"12,50"' if one % 10 == 3 else one, visits=lambda one: "-" if one == 4 else one)
    repair = "{source: ex.csv, null_words: [NA, '-'], columns: {price: \"replace(price, ',', '.')::double\"}}"
    project.edit("problem/shop.yaml", "{source: ex.csv}", repair)
    result = check(project)
    assert result.exit_code == 0, result.stderr


def test_two_formats_in_one_column(project: Any) -> None:
    moments = [(date(2024, 1, 1) + timedelta(days=one)) for one in range(50)]
    tables(project, at=lambda one: moments[one].strftime("%d.%m.%Y" if one % 5 else "%Y-%m-%d"))
    line = reported(check(project))[0]
    assert "no format reads its 50 cells: 40 %d.%m.%Y, 10 ISO 8601;" in line
    repair = line.partition("; write ")[2]
    assert repair.startswith("columns: {at: ")
    for table in ("ex", "ev"):
        project.edit("problem/shop.yaml", f"{{source: {table}.csv}}", f"{{source: {table}.csv, {repair}}}")
    again = check(project)
    assert again.exit_code == 0, again.stderr


def test_how_columns_were_read(project: Any) -> None:
    tables(project)
    result = check(project)
    assert result.exit_code == 0, result.stderr
    found = {tuple(line.split()[-4:]) for line in result.stdout.splitlines()}
    assert ("DOUBLE", "declared", "by", "r.price") in found
    assert "key k: BIGINT in ex, ev" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 tables read, 0 warnings"
    again = check(project)
    assert again.stdout == result.stdout, "taken over"


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"key": lambda one: one + 100}, "view v: 0 of 50 examples have a row of 'ev' with their k"),
        ({"key": lambda one: f"{one % 7}.0"}, "key k: whole numbers in ex, whole numbers written as 1.0 in ev"),
        ({"key": lambda one: one % 7 + one % 2 / 2}, "ev.k: 25 rows have a key with a fraction, and belong to nobody"),
        ({"said": lambda one: ["yes", "no", "Yes "][one % 3]}, "ex.said: 'Yes ' and 'yes' are different labels"),
        ({"z": lambda one: 5}, "ev.z: one value only in 50 rows"),
        ({"price": lambda one: ""}, "ex.price: no value in 50 rows"),
        ({"k": lambda one: 1, "at": lambda one: "2024-01-01"}, "ex: 49 examples repeat the k, at of another one"),
    ],
)
def test_what_is_odd(project: Any, changes: dict[str, Callable[[int], object]], warning: str) -> None:
    tables(project, **changes)
    result = check(project)
    assert result.exit_code == 0, result.stderr
    assert any(line.startswith(f"warning: {warning}") for line in result.stdout.splitlines()), result.stdout


def test_dates_that_a_later_feature_uses_are_refused(project: Any) -> None:
    tables(project, visits=lambda one: f"{1 + one % 9:02d}/{1 + one % 8:02d}/2024")
    project.edit("features/shop.yaml", "    visits: {dtype: int}\n", "")
    assert check(project).exit_code == 0
    project.edit("features/shop.yaml", "price: {dtype: float}", "born: {dtype: float, expression: month(visits)}")
    result = check(project)
    assert result.exit_code == 2
    assert "problem.tables.ex.date_format.visits" in result.stderr
