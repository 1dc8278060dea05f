"""`proml_kedro init`: a project folder of its own, or two files more in one; nothing asked, nothing written over."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import proml_kedro
from proml_kedro.commands.config_schema import schema_command
from proml_kedro.commands.init import init_command
from proml_kedro.commands.new import make_project
from proml_kedro.extensions import splits
from strangers import Dialect, shop_visits


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shop_visits(random.Random(0), Dialect(";", ",", date_format="%d.%m.%Y")).write(tmp_path / "visits.csv")
    return tmp_path


def init(*words: str) -> Result:
    return CliRunner().invoke(init_command(), list(words))


def test_it_makes_a_project_checks_it_and_ends_with_the_next_command(folder: Path) -> None:
    result = init("visits.csv", "--label", "bought")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "next: cd visits && kedro run"
    assert "1 tables read, 1 warnings" in result.stdout
    assert "visits.decimal: commas stand before fractions in 'Betrag (€)'" in result.stdout
    project = proml_kedro.open_project(folder / "visits")
    assert project.spec.problem.tables["visits"].source == "../visits.csv"
    names = {one.relative_to(folder / "visits").as_posix() for one in (folder / "visits").rglob("*") if one.is_file()}
    assert {"Makefile", "tests/test_project.py", "feature_repo/features.py", "conf/config.yaml"} <= names
    assert "generate_tables.py" not in names, "the example of `new` is not theirs"
    text = "".join(
        (folder / "visits" / one).read_text() for one in ("Makefile", "README.md", ".github/workflows/check.yml")
    )
    assert "tables" not in text.replace("Read all tables", "").replace("your tables", "")


def test_what_is_there_is_not_written_over(folder: Path) -> None:
    assert init("visits.csv", "--label", "bought").exit_code == 0
    before = {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    again = init("visits.csv", "--label", "bought")
    assert again.exit_code == 2
    assert "there is something at" in again.stderr
    assert {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()} == before


def test_inside_of_a_project_it_adds_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_project(folder, "bakery")
    config = (home / "conf" / "config.yaml").read_text()
    (home / "deep").mkdir()
    monkeypatch.chdir(home / "deep")
    result = init("../../visits.csv", "--label", "bought", "--name", "second")
    assert result.exit_code == 0, result.output
    assert "wrote conf/problem/second.yaml" in result.stdout
    assert result.stdout.splitlines()[-1] == "next: kedro run problem=second"
    assert (home / "conf" / "config.yaml").read_text() == config
    assert proml_kedro.open_project(home, "problem=second").spec.problem.tables["visits"].source == "../visits.csv"
    again = init("../../visits.csv", "--label", "bought", "--name", "second")
    assert again.exit_code == 2
    assert "conf/problem/second.yaml and conf/features/second.yaml; give another name" in again.stderr


def test_without_a_terminal_it_asks_nothing(folder: Path) -> None:
    result = init("visits.csv")
    assert result.exit_code == 2
    assert "write --label COLUMN; there are visits.Nr, visits.customer_id, visits.day" in result.stderr
    assert not (folder / "visits").exists()


def test_what_is_left_to_decide_is_said_and_ends_with_exit_code_2(folder: Path) -> None:
    stranger = shop_visits(random.Random(0), Dialect(date_format="%d/%m/%Y"))
    stranger.columns["day"][:] = [one.replace(day=1 + one.day % 12) for one in stranger.columns["day"]]
    stranger.write(folder / "other.csv")
    result = init("other.csv", "--label", "bought")
    assert result.exit_code == 2
    assert 'date_format: {day: "%d/%m/%Y"}' in result.stdout
    assert "next: decide what follows in the YAML, then cd other && kedro data check" in result.stdout
    assert "every cell of 'day' can be read in 2 ways" in result.stderr
    assert "other.yaml:" in result.stderr, "with file and line"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("none.csv", None, "there is no file 'none.csv'"),
        ("excel.csv", "sep=;\na;b\n1;2\n", "line 1 is Excel's note 'sep=;', not names of columns; delete it"),
        ("a.xyz", "a,b\n", "cannot read 'a.xyz'; files end in"),
        ("short.csv", "a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
        ("only.csv", "bought\n1\n0\n", "only has no column beside the label that can be a feature"),
        ("empty.csv", "", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(folder: Path, file: str, text: str | None, message: str) -> None:
    if text is not None:
        (folder / file).write_text(text)
    result = init(file, "--label", "bought")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not [one for one in folder.iterdir() if one.is_dir()]


def test_names_that_look_like_interpolations_are_names(folder: Path) -> None:
    (folder / "odd.csv").write_text("${seed},bought\n" + "".join(f"{at / 8},{at % 2}\n" for at in range(60)))
    result = init("odd.csv", "--label", "bought")
    assert result.exit_code == 0, result.output
    assert proml_kedro.open_project(folder / "odd").spec.problem.tables["odd"].columns == {"seed": '"${seed}"'}


def test_the_schema_is_written_anew_with_what_extensions_register(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_project(folder, "bakery")
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)
    (home / "own_splits.py").write_text(
        "from typing import Literal\n"
        "from proml_kedro.extensions import splits\n"
        "from proml_kedro.spec.split import SplitSpec\n"
        "@splits.register('by_parity')\n"
        "class Parity(SplitSpec):\n"
        "    by: Literal['by_parity']\n"
        "    odd: int\n"
        "    def sql(self, timestamp):\n"
        "        return \"'train'\"\n"
    )
    with (home / "conf" / "config.yaml").open("a") as config:
        config.write("extensions: [own_splits]\n")
    before = (home / "schema" / "proml.schema.json").read_text()
    try:
        result = CliRunner().invoke(schema_command(), ["--conf-source", str(home / "conf")])
        assert result.exit_code == 0, result.output
        assert "wrote schema, with what own_splits registers" in result.stdout
        assert '"by_parity"' not in before
        assert '"by_parity"' in (home / "schema" / "proml.schema.json").read_text()
    finally:
        splits._objects.pop("by_parity", None)
