"""What `init` proposes reads a stranger's table to the values that were written, or says that it cannot tell."""

from __future__ import annotations

import random
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.authoring.initiate import propose_problem
from proml_kedro.errors import UserError
from strangers import FORMATS, Dialect, problem_of, proposed, read, shop_visits
from tiers import examples

MARKS = [(",", ".", ""), (";", ",", ""), (";", ",", "."), ("\t", ".", ","), ("|", ",", "."), (";", ".", "")]
"""Delimiter, mark before the fraction, mark between groups of digits."""


def as_day(value: Any) -> date | None:
    if isinstance(value, datetime):
        assert value == value.astimezone(UTC).replace(hour=0, minute=0, second=0)
        return value.astimezone(UTC).date()
    return value


@examples(fast=4, whole=25)
@given(
    seed=st.integers(0, 2**20),
    marks=st.sampled_from(MARKS),
    format_=st.sampled_from(FORMATS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    null=st.sampled_from(["", "NA", "-", "n/a"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_table_in_any_dialect_is_read_to_what_was_written(
    seed: int, marks: tuple[str, str, str], format_: str, encoding: str, null: str, end: str
) -> None:
    delimiter, decimal, thousands = marks
    dialect = Dialect(delimiter, decimal, thousands, encoding, format_, null, end)
    stranger = shop_visits(random.Random(seed), dialect)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = proposed(folder, "bought", visits=stranger)
        assert not found.undecided, found.said
        values = read(found, folder)["visits"]
    assert values["customer_id"] == stranger.columns["customer_id"]
    assert values["betrag"] == stranger.columns["Betrag (€)"]
    assert [as_day(one) for one in values["day"]] == stranger.columns["day"]
    assert values["who"] == stranger.columns["who"]


@pytest.mark.parametrize(
    ("format_", "other"), [("%d/%m/%Y", "%m/%d/%Y"), ("%m-%d-%Y", "%d-%m-%Y"), ("%d.%m.%Y", "%m.%d.%Y")]
)
def test_days_and_months_that_nothing_tells_apart_are_written_in_both_ways(
    tmp_path: Path, format_: str, other: str
) -> None:
    stranger = shop_visits(random.Random(1), Dialect(date_format=format_))
    chance = random.Random(2)
    stranger.columns["day"][:] = [date(2024, chance.randint(1, 12), chance.randint(1, 12)) for _ in range(120)]
    found = proposed(tmp_path, "bought", visits=stranger)
    assert found.undecided
    lines = [line.strip() for line in found.problem.splitlines() if "date_format: {day" in line]
    assert len(lines) == 2
    assert all(line.startswith("# ") for line in lines), "neither holds before somebody decides"
    assert {format_, other} == {line.partition('"')[2].partition('"')[0] for line in lines}
    with pytest.raises(UserError, match="every cell of 'day' can be read in 2 ways"):
        read(found, tmp_path)
    right = next(line for line in lines if f'"{format_}"' in line)
    (tmp_path / "read").rename(tmp_path / "before")
    decided = type(found)(**{**vars(found), "problem": found.problem.replace(right, right.removeprefix("# "))})
    assert [as_day(one) for one in read(decided, tmp_path)["visits"]["day"]] == stranger.columns["day"]


def test_days_and_months_are_told_apart_by_other_columns_and_by_the_order_of_rows(tmp_path: Path) -> None:
    chance = random.Random(3)
    ambiguous = [date(2024, chance.randint(1, 12), chance.randint(1, 12)) for _ in range(120)]
    by_column, by_order = (shop_visits(random.Random(4), Dialect(date_format="%d/%m/%Y")) for _ in range(2))
    by_column.columns["sent"] = list(ambiguous)
    by_order.columns["day"][:] = sorted(ambiguous)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, stranger, name in ((first, by_column, "sent"), (second, by_order, "day")):
        folder.mkdir()
        found = proposed(folder, "bought", visits=stranger)
        assert not found.undecided
        assert any(f"visits.date_format.{name}" in line and "reads every cell too" in line for line in found.said)
        assert [as_day(one) for one in read(found, folder)["visits"][name]] == stranger.columns[name]


def test_another_file_tells_nothing_of_days_and_months(tmp_path: Path) -> None:
    chance = random.Random(3)
    sure, other = (shop_visits(random.Random(4), Dialect(date_format=one)) for one in ("%d/%m/%Y", "%m-%d-%Y"))
    other.columns["day"][:] = [date(2024, chance.randint(1, 12), chance.randint(1, 12)) for _ in range(120)]
    found = proposed(tmp_path, "sure.bought", sure=sure, other=other)
    assert any(line.startswith("decide: other.day") for line in found.said)


def test_a_column_in_three_formats_is_one_column_of_moments(tmp_path: Path) -> None:
    stranger = shop_visits(random.Random(5), Dialect())
    days = list(stranger.columns["day"])
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y")
    stranger.columns["day"][:] = [one.strftime(forms[at % 3]) for at, one in enumerate(days)]
    found = proposed(tmp_path, "bought", visits=stranger)
    assert [as_day(one) for one in read(found, tmp_path)["visits"]["day"]] == days


def test_a_column_that_has_days_first_and_months_first_is_never_read_in_silence(tmp_path: Path) -> None:
    stranger = shop_visits(random.Random(6), Dialect())
    days = [date(2024, 1 + at % 12, 13 + at % 15) for at in range(120)]
    forms = ("%d/%m/%Y", "%m/%d/%Y")
    stranger.columns["day"][:] = [one.strftime(forms[at % 2]) for at, one in enumerate(days)]
    found = proposed(tmp_path, "bought", visits=stranger)
    assert "strptime" not in found.problem.replace("# ", "#").partition("#")[0]
    assert not any(line.strip().startswith("day:") for line in found.problem.splitlines())


@pytest.mark.parametrize(
    ("cells", "ways"),
    [
        (["1,234", "5,678", "9,012"], ("1.234", "1234")),
        (["1.234", "5.678", "9.012"], ("1.234 with a fraction", "1234")),
    ],
)
def test_groups_of_three_digits_after_one_mark_are_asked_about(
    tmp_path: Path, cells: list[str], ways: tuple[str, ...]
) -> None:
    stranger = shop_visits(random.Random(7), Dialect(";"))
    stranger.columns["Betrag (€)"][:] = [cells[at % 3] for at in range(120)]
    found = proposed(tmp_path, "bought", visits=stranger)
    assert any("decide: visits." in line and all(f"({way})" in line for way in ways) for line in found.said), found.said
    assert "betrag:" not in found.features.partition("left out")[0], "no feature before it is decided"


def test_points_before_fractions_elsewhere_tell_what_points_are(tmp_path: Path) -> None:
    stranger = shop_visits(random.Random(8), Dialect(";"))
    stranger.columns["weight"] = ["1.234"] * 60 + ["2.345"] * 60
    found = proposed(tmp_path, "bought", visits=stranger)
    assert not found.undecided
    assert set(read(found, tmp_path)["visits"]["weight"]) == {1.234, 2.345}


def test_a_word_that_means_something_in_another_column_is_nothing_in_its_own_only(tmp_path: Path) -> None:
    stranger = shop_visits(random.Random(9), Dialect(";", ","))
    stranger.columns["who"][:5] = ["-"] * 5
    amounts = list(stranger.columns["Betrag (€)"])
    stranger.columns["Betrag (€)"][:] = ["-" if one is None else one for one in amounts]
    values = read(proposed(tmp_path, "bought", visits=stranger), tmp_path)["visits"]
    assert values["betrag"] == amounts
    assert values["who"][:5] == ["-"] * 5


def test_a_file_without_a_header_and_one_with_equal_names_are_read(tmp_path: Path) -> None:
    for folder in (tmp_path / "bare", tmp_path / "same"):
        folder.mkdir()
    bare, same = tmp_path / "bare" / "a.csv", tmp_path / "same" / "a.csv"
    bare.write_text("".join(f"k{at},{at / 7},{at % 2}\n" for at in range(100)))
    same.write_text("x,x,y\n" + "".join(f"{at},{at / 7},{at % 2}\n" for at in range(100)))
    values = read(propose_problem([bare], "c3", bare.parent), bare.parent)["a"]
    assert values["c1"][0] == "k0", "the first row is no header"
    assert len(values["c1"]) == 100
    assert list(read(propose_problem([same], "y", same.parent), same.parent)["a"]) == ["x", "x_2", "y"]


def test_names_and_cells_of_a_stranger_never_become_yaml(tmp_path: Path) -> None:
    stranger = shop_visits(random.Random(10), Dialect(";", ","))
    evil = [
        'a\nlabel: {expression: "1 = 1"}',
        "b\u2028split: {by: random}",
        "c\x85tables: {}",
        'd\' # "e" : {[',
        "- f\x1b[31m",
    ]
    amounts = list(stranger.columns.pop("Betrag (€)"))
    for name in evil:
        stranger.columns[name] = list(amounts)
    stranger.columns["bought"][:] = ["yes\n# no", "no: {}"] * 60
    found = proposed(tmp_path, "bought=no: {}", visits=stranger)
    assert all(line.isprintable() for line in (found.problem + found.features).splitlines())
    problem, features = problem_of(found)
    assert set(problem) == {"description", "tables", "examples", "label", "split"}
    assert problem["label"]["expression"] == "bought = 'no: {}'"
    assert set(features) == {"visits", "customer_id_history"}
    values = read(found, tmp_path)["visits"]
    assert sum(one == amounts for one in values.values()) == 2 * len(evil), "each under its own name and a plain one"


def test_a_word_for_nothing_leaves_the_texts_of_other_columns_alone(tmp_path: Path) -> None:
    """Namibia is NA, in quotes."""
    rows = "".join(f'"{"NA" if at % 3 else "DE"}",{"-" if at % 5 == 0 else at / 8},{at % 2}\n' for at in range(90))
    (tmp_path / "t.csv").write_text("country,x,y\n" + rows)
    values = read(propose_problem([tmp_path / "t.csv"], "y", tmp_path), tmp_path)["t"]
    assert values["country"].count("NA") == 60
    assert values["x"] == [None if at % 5 == 0 else at / 8 for at in range(90)]


def test_commas_between_fields_tell_that_points_are_before_fractions(tmp_path: Path) -> None:
    """Sea temperatures of El Niño, as statsmodels has them: every cell has three digits behind the point."""
    from statsmodels.datasets import elnino

    file = Path(str(elnino.__file__)).with_name("elnino.csv")
    found = propose_problem([file], "DEC", tmp_path)
    assert not found.undecided
    assert any("as commas are between fields" in line for line in found.said)
    values = read(found, tmp_path)["elnino"]
    assert (values["JAN"][0], values["DEC"][0]) == (23.11, 21.8)


def test_names_in_other_quotes_are_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "'x'\t'the label'\n" + "".join(f"'{at % 20}\t{at % 2}'\t{at % 3 % 2}\n" for at in range(60))
    )
    found = propose_problem([tmp_path / "t.csv"], "the label", tmp_path)
    assert read(found, tmp_path)["t"]["x"][:2] == ["0\t0", "1\t1"]
