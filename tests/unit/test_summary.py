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
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setattr(sys, "argv", typed.split())
    assert command_line.workspace() == expected


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
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
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
