"""What a run proposes to do next is what was typed, and more."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proml_kedro import command_line as command_line
from proml_kedro import summary
from proml_kedro.artifacts import Artifact
from proml_kedro.models.progress import progress
from proml_kedro.results import Places
from proml_kedro.spec import RunSpec
from small import make_config


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("kedro run", "kedro workspace"),
        ("kedro run model=logistic seed=3", "kedro workspace model=logistic seed=3"),
        ("kedro run --pipelines=features,train --runner ThreadRunner", "kedro workspace"),
        (
            "kedro run --env prod --conf-source=my/conf data_dir=out",
            "kedro workspace --env prod --conf-source=my/conf data_dir=out",
        ),
        ("kedro run -e prod --params seed=3", "kedro workspace -e prod seed=3"),
        ("pytest tests", "kedro workspace"),
    ],
)
def test_the_workspace_of_a_run(monkeypatch: pytest.MonkeyPatch, typed: str, expected: str) -> None:
    monkeypatch.setattr(command_line, "program", lambda name: name)
    monkeypatch.setattr(sys, "argv", typed.split())
    assert command_line.workspace() == expected


@pytest.mark.parametrize(
    ("typed", "more", "expected"),
    [
        ("run a.b=1 c=2", ["a.b=3"], "run c=2 a.b=3"),
        ("run a.b=1 c=2 a.b=2", [], "run c=2 a.b=2"),
        ("run ~a +a=1 x/y@z=w", ["b=1"], "run ~a +a=1 x/y@z=w b=1"),
        ("run --params a=1 a=2 --async b=1 b=2", [], "run --params a=1 a=2 --async b=2"),
        ("run --env a=1 --runner x", ["--pipelines=monitor"], "run --env a=1 --runner x --pipelines=monitor"),
        ("run --pipelines=train -p x --nodes=a,b c=1", ["--pipelines=monitor"], "run c=1 --pipelines=monitor"),
    ],
)
def test_a_run_again_names_each_key_once(
    monkeypatch: pytest.MonkeyPatch, typed: str, more: list[str], expected: str
) -> None:
    monkeypatch.setattr(command_line, "program", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["/bin/kedro", *typed.split()])
    assert shlex.split(command_line.run_again(*more)) == ["kedro", *expected.split()]


def test_a_program_is_called_as_the_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "env" / "bin" / "kedro"
    other = tmp_path / "other" / "kedro"
    for file in (own, other):
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(own.with_name("python")))
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin")
    assert command_line.program("kedro") == "kedro"
    monkeypatch.setenv("PATH", f"{other.parent}:/usr/bin")
    assert command_line.program("kedro") == str(own), "another environment's"
    monkeypatch.chdir(tmp_path)
    assert command_line.program("kedro") == "env/bin/kedro"
    assert command_line.program("bentoml") == "bentoml", "there is no other"


@pytest.mark.parametrize("program", ["/x/bin/proml_kedro", "/x/proml_kedro/__main__.py"])
def test_the_program_that_was_called_is_proposed_again(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "run", "seed=3"])
    assert shlex.split(command_line.run_again())[0].endswith("proml_kedro")


@pytest.mark.parametrize("proposed", [command_line.run_again, command_line.workspace])
def test_a_proposed_command_shows_no_password(monkeypatch: pytest.MonkeyPatch, proposed: Callable[[], str]) -> None:
    monkeypatch.setattr(sys, "argv", ["kedro", "run", "online_store=redis://me:hunter2@host:6379/0", "seed=3"])
    assert shlex.split(proposed())[2:] == ["online_store=redis://me:…@host:6379/0", "seed=3"]


METRICS = {
    "rows": 10,
    "baseline": {"auc": 0.5},
    "baseline_name": "[red]linear",
    "candidate": {"auc": 0.6},
    "differences": {"auc": {"difference": 0.1, "low": 0.0, "high": 0.2}},
    "confidence": 0.95,
    "cluster_by": "[day]",
    "ranking": None,
}
DRIFT = {
    "verdict": "warn",
    "reference_rows": 9,
    "current_rows": 9,
    "flagged_share": 1.0,
    "notices": [],
    "columns": [{"name": "[flight]", "verdict": "warn"}, {"name": "x:bus:", "verdict": "warn"}],
}


@pytest.mark.parametrize("terminal", [False, True])
def test_what_users_have_written_is_never_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    typed = ["model.components.personal.locked=[fixed,flight.dest]", "x=':bus:'"]
    monkeypatch.setattr(sys, "argv", ["kedro", "run", *typed, "--pipelines", "features,train", "--nodes=evaluate"])
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "drift.json").write_text(json.dumps(DRIFT))
    config = {**make_config(), "data_dir": "[data]"}
    result = Artifact(tmp_path, "0")
    run, places = RunSpec.model_validate(config), Places("[data]", "sales", "xgboost")
    summary.show({"evaluation": result, "drift": result}, run, places, {"[step]": 1.0})
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    for text in (
        "sales · model xgboost",
        "[red]linear",
        "interval, by [day]",
        "[flight], x:bus:",
        "[data]/sales/xgboost/evaluation/report.md",
        f"kedro run {shlex.join(typed)} --pipelines=monitor\n",
        f"kedro workspace {shlex.join(typed)}\n",
        "[step] 1.0",
    ):
        assert text in printed, text


def test_a_progress_bar_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")  # on a dumb terminal no bar is drawn
    with progress("fitting [flight.dest] {x}", 1) as advance:
        advance()
    assert "fitting [flight.dest] {x}" in terminal.getvalue()
