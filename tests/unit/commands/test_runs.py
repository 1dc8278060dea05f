"""`kedro runs`: what is listed fits the screen, what is shown is all, and mistakes are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proml_kedro import open_project
from proml_kedro.commands.runs import make_group
from proml_kedro.errors import Mistake, RetriableError
from proml_kedro.workflow import Run
from proml_kedro.workflow.recording import Recording

LONG = "model.components.trees.params.max_depth=4"


@pytest.fixture
def recorded(make_project: Callable[[Path], Any], tmp_path: Path) -> Any:
    """A project in which one run has ended, one has failed and one goes on."""
    project = make_project(tmp_path)
    opened = open_project(project.folder, f"data_dir={project.data}")
    run = Run(opened.spec, opened.store(), opened.base_path, opened.places)
    first = Recording.begin(run, "kedro run", [])
    first.complete()
    second = Recording.begin(run, "kedro run", [LONG, "seed=3"])
    second.fail(RetriableError(Mistake("online_store", "Redis is busy")))
    third = Recording.begin(run, "kedro run", ["seed=4"])
    project.recordings = [first, second, third]
    return project


def runs(project: Any, *arguments: str, columns: int | None = None) -> Result:
    words = [*arguments, f"data_dir={project.data}", "--conf-source", str(project.conf)]
    return CliRunner().invoke(make_group(), words, env={"COLUMNS": str(columns) if columns else None})


def test_the_newest_comes_first_with_state_and_changes(recorded: Any) -> None:
    done = runs(recorded, "list")
    assert done.exit_code == 0, done.output
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[0] == "id"
    assert [line.split()[0] for line in lines] == [one.record.id for one in reversed(recorded.recordings)]
    assert [line.split()[3] for line in lines] == ["running", "failed", "done"]
    assert lines[1].endswith(f"{LONG} seed=3  [online_store: Redis is busy]"), "whole where there is no screen"
    assert lines[2].endswith("shop trees")


@pytest.mark.parametrize("columns", [90, 120])
def test_lines_fit_the_screen(recorded: Any, columns: int) -> None:
    lines = runs(recorded, "list", columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert any(len(line) == columns for line in lines)


def test_a_program_reads_json(recorded: Any) -> None:
    found = json.loads(runs(recorded, "list", "--json", "--limit", "2").stdout)
    assert [one["state"] for one in found] == ["running", "failed"]
    assert found[1]["error"] == {"text": "online_store: Redis is busy", "retriable": True, "step": None}


def test_one_run_is_shown_by_the_beginning_of_its_id(recorded: Any) -> None:
    record = recorded.recordings[1].record
    done = runs(recorded, "show", record.id[:6])
    assert done.exit_code == 0, done.output
    assert "state: failed" in done.stdout
    assert f"overrides: {LONG} seed=3" in done.stdout
    assert json.loads(runs(recorded, "show", record.id, "--json").stdout)["overrides"] == [LONG, "seed=3"]


@pytest.mark.parametrize(("name", "message"), [("zzz", "no run 'zzz'."), ("20", "begins the ids of 3 runs")])
def test_a_name_that_is_none_is_one_line(recorded: Any, name: str, message: str) -> None:
    done = runs(recorded, "show", name)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_record_is_named_and_the_others_are_listed(recorded: Any) -> None:
    (recorded.data / "runs" / "20200101T000000.000-aaaaaaaa.json").write_text("{")
    done = runs(recorded, "list")
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr.splitlines() == [done.stderr.rstrip()]
    assert "aaaaaaaa.json: is skipped" in done.stderr


def test_before_the_first_run_there_is_nothing(make_project: Callable[[Path], Any], tmp_path: Path) -> None:
    assert runs(make_project(tmp_path), "list").stdout == "no runs yet\n"
