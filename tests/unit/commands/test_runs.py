"""`kedro runs`: what is listed fits the screen, what is shown is all, and mistakes are one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proml_kedro import open_project
from proml_kedro.artifacts import Recipe
from proml_kedro.commands.runs import make_group
from proml_kedro.errors import Mistake, RetriableError
from proml_kedro.hardware import in_words
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
    assert f"peak memory: {in_words(record.peak_memory)}" in done.stdout, "in the units of hardware.memory"
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


def write_nothing(folder: Path) -> None:
    (folder / "file").write_text("nothing")


@pytest.fixture
def made(recorded: Any) -> Callable[..., str]:
    """Records a run with results of its own; returns its id."""
    opened = open_project(recorded.folder, f"data_dir={recorded.data}")
    run, store = Run(opened.spec, opened.store(), opened.base_path, opened.places), opened.store()

    def record(depth: int, rows: int = 10, auc: float | None = 0.7, commit: str = "aaaa") -> str:
        tables = Recipe("shop/tables", {"problem": {"name": "shop"}})
        training_set = Recipe("shop/training_set", {"features": {"visit": ["pages"]}}, {"tables": tables})
        params = {"trees": {"params": {"max_depth": depth}, "inputs": ["a"] * depth, "secret_url": "x://me:word@host"}}
        model = Recipe("shop/trees/trained_model", {"components": params}, {"training_set": training_set})
        parts = {"tables": store.build(tables, {"rows": rows}, write_nothing)}
        parts["training_set"] = store.build(training_set, {"tables": parts["tables"]}, write_nothing)
        parts["trained_model"] = store.build(model, {"training_set": parts["training_set"]}, write_nothing)
        whole = {"config": {"components": params, "later": None} if depth > 2 else {"components": params}}
        drift = Recipe("shop/trees/drift", whole)
        parts["drift"] = store.build(drift, {"model": parts["trained_model"]}, write_nothing)
        one = Recording.begin(run, "kedro run", [])
        results = {name: str(made.path.relative_to(recorded.data / "store")) for name, made in parts.items()}
        one.complete()
        whole = replace(one.record, results=results, metrics={"auc": auc}, commit=commit)
        (recorded.data / "runs" / whole.file_name).write_text(json.dumps(whole.as_dict()))
        return whole.id

    return record


def test_what_changed_is_said_by_key_and_cause(recorded: Any, made: Callable[..., str]) -> None:
    first, same = made(2), made(2)
    assert runs(recorded, "diff", first, same).stdout == "nothing changed: 4 results are the same\n"
    deeper, more = made(3, auc=0.72, commit="bbbb"), made(2, rows=11, auc=None)
    done = runs(recorded, "diff", first, deeper)
    assert done.stdout.splitlines() == [
        "run:",
        "  commit: aaaa -> bbbb",
        "configuration:",
        "  components.trees.params.max_depth: 2 -> 3",
        "  components.trees.inputs.2: (absent) -> a",
        "results:",
        "  trained_model: made anew because of its configuration",
        "  drift: made anew because of its configuration and trained_model",
        "metrics:",
        "  auc: 0.7000 -> 0.7200 (+0.0200)",
    ]
    changed = runs(recorded, "diff", first, more).stdout
    assert "tables: made anew because of its data, code or libraries" in changed
    assert "training_set: made anew because of tables" in changed
    assert "trained_model: made anew because of training_set" in changed
    assert "auc: 0.7000 -> none" in changed
    plain = json.loads(runs(recorded, "diff", first, deeper, "--json").stdout)
    assert plain["configuration"]["components.trees.params.max_depth"] == ["2", "3"]
    for name, message in (("zzz", "no run 'zzz'"), ("2", "begins the ids of")):
        wrong = runs(recorded, "diff", first, name)
        assert wrong.exit_code == 2
        assert message in wrong.stderr


def test_what_was_freed_is_not_guessed(recorded: Any, made: Callable[..., str]) -> None:
    first, other = made(2), made(3)
    shutil.rmtree(recorded.data / "store" / "shop" / "trees")
    said = runs(recorded, "diff", first, other).stdout
    assert "trained_model: another one; what it was made from is not known any more" in said
    assert "configuration" not in said
