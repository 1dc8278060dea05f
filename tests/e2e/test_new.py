"""`proml_kedro new` makes a project that runs as it is, in a folder that knows nothing of this checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import proml_kedro
from proml_kedro.commands.init import init_command
from proml_kedro.commands.new import make_project
from proml_kedro.errors import UserError

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("KEDRO_LOGGING_CONFIG", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_it_composes_with_what_the_package_ships(tmp_path):
    project = proml_kedro.open_project(make_project(tmp_path, "bakery"))
    assert project.spec.problem.name == "bakery"
    assert project.spec.model.name == "xgboost"
    assert list(project.spec.features.columns()) == [
        "visit.pages",
        "orders.spent_7d",
        "orders.spent_all",
        "orders.orders_7d",
    ]


def test_no_word_of_the_template_is_left(tmp_path):
    files = [one for one in make_project(tmp_path, "bakery").rglob("*") if one.is_file()]
    assert not [one for one in files if re.search(r"@[A-Z]+@", one.read_text())]
    names = {one.relative_to(tmp_path / "bakery").as_posix() for one in files}
    assert {".gitignore", ".github/workflows/check.yml", "conf/problem/bakery.yaml", "conf/logging.yml"} <= names


def test_its_feature_repository_is_the_shipped_one_but_for_the_name(tmp_path):
    made, own = make_project(tmp_path, "bakery") / "feature_repo", ROOT / "feature_repo"
    assert (made / "features.py").read_text() == (own / "features.py").read_text()
    expected = (own / "feature_store.yaml").read_text().replace("flight_delays", "bakery")
    assert (made / "feature_store.yaml").read_text() == expected


@pytest.mark.parametrize(
    "name", ["Shop", "1st", "a-b", "../up", "a/b", "", "a.b", "größe", "shop\n", "on", "no", "null", "nan"]
)
def test_a_name_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(UserError, match="is no name for a project"):
        make_project(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "gone"):
        with pytest.raises(UserError, match="there is something at"):
            make_project(tmp_path, name)
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "proml_kedro==0.9"),
        ('{"url": "file:///a/checkout", "dir_info": {"editable": true}}', "proml_kedro @ file:///a/checkout"),
        (
            '{"url": "file:///wheels/proml_kedro-0.9", "archive_info": {}}',
            "proml_kedro @ file:///wheels/proml_kedro-0.9",
        ),
        (
            '{"url": "https://host/team/ml", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}',
            "proml_kedro @ git+https://host/team/ml@c0ffee",
        ),
    ],
)
def test_it_requires_the_package_from_where_it_came_itself(monkeypatch, tmp_path, origin, line):
    found = SimpleNamespace(version="0.9", read_text=lambda file: origin if file == "direct_url.json" else None)
    monkeypatch.setattr("proml_kedro.commands.new.distribution", lambda name: found)
    assert (make_project(tmp_path, "bakery") / "requirements.txt").read_text().splitlines()[1] == line


def test_its_tables_propose_the_problem_that_it_has(tmp_path, monkeypatch):
    """The commands of the tutorial."""
    folder = make_project(tmp_path, "bakery")
    _run(folder, sys.executable, "generate_tables.py")
    monkeypatch.chdir(folder)
    words = ["tables/visits.csv", "tables/orders.csv", "--label", "ordered", "--name", "mine"]
    result = CliRunner().invoke(init_command(), words)
    assert result.exit_code == 0, result.output
    assert "label ordered of visits (binary): 1 (which means true; 1,558 rows)" in result.stdout
    assert result.stdout.splitlines()[-1] == "next: kedro run problem=mine"
    written, found = (proml_kedro.open_project(folder, *words).spec for words in ((), ("problem=mine",)))
    assert found.problem.examples == written.problem.examples
    assert found.problem.label == written.problem.label
    assert {"visits.pages", "orders.amount_7d", "orders.amount_all", "orders.events_7d"} <= set(
        found.features.columns()
    )


@pytest.mark.slow
@pytest.mark.e2e
def test_its_commands_and_its_own_tests_work(tmp_path):
    made = _run(tmp_path, "proml_kedro", "new", "bakery")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "bakery"
    assert _run(folder, sys.executable, "generate_tables.py").returncode == 0
    check = _run(folder, "kedro", "data", "check")
    assert check.returncode == 0, check.stderr
    assert "2 tables read, 0 warnings" in check.stdout
    run = _run(folder, "kedro", "run")
    assert run.returncode == 0, run.stderr
    assert (folder / "data" / "bakery" / "xgboost" / "bundle").is_dir()
    tests = _run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert tests.returncode == 0, tests.stdout
    assert "2 passed" in tests.stdout
