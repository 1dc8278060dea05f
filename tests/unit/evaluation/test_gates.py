"""Gates: each limit holds just within it and fails just beyond it, and what cannot be told fails."""

from __future__ import annotations

import math
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from proml_kedro import hooks
from proml_kedro.datasets import ArtifactDataset, RunDataset
from proml_kedro.evaluation.compare import evaluate
from proml_kedro.evaluation.gates import judge_gates, write_junit
from proml_kedro.evaluation.report import Insight, write_report
from proml_kedro.evaluation.result import Difference, Evaluation, SliceResult
from proml_kedro.evaluation.rows import ModelScores, ScoredRows
from proml_kedro.results import GateOutcome, Metrics
from proml_kedro.results.run_record import read_records
from proml_kedro.spec import EvaluationSpec, RunSpec
from proml_kedro.workflow import Run
from small import METRICS, make_config

RESULT = Evaluation(
    rows=100,
    task="binary",
    label_mean=0.3,
    positive_rate=0.3,
    candidate={"auc": 0.73, "logloss": 0.45, "calibration_error": math.nan},
    baseline={"auc": 0.71, "logloss": 0.46, "calibration_error": 0.01},
    differences={
        "auc": Difference(0.02, 0.001, 0.039, 0.01, 0.04),
        "logloss": Difference(-0.01, -0.03, 0.01, 0.01, 0.3),
        "calibration_error": Difference.unsure(math.nan, 3.0, "the metric is undefined"),
    },
    cluster_by="day",
    clusters=40,
    confidence=0.95,
)


def outcome(name: str, result: Evaluation = RESULT, **limits: float) -> GateOutcome:
    (found,) = judge_gates(EvaluationSpec.model_validate({"gates": {name: limits}}).gates, result)
    return found


@pytest.mark.parametrize(
    ("name", "within", "beyond", "words"),
    [
        ("auc", {"min": 0.73}, {"min": 0.7301}, "0.7300 is below min 0.7301"),
        ("logloss", {"max": 0.45}, {"max": 0.4499}, "0.4500 is above max 0.4499"),
        ("auc", {"min_lift": 0.02}, {"min_lift": 0.0201}, "lift +0.0200 is below min_lift 0.0201"),
        ("logloss", {"min_lift": 0.01}, {"min_lift": 0.0101}, "lift +0.0100 is below min_lift 0.0101"),
        ("auc", {"p": 0.04}, {"p": 0.039}, "not better with p of at most 0.039: lift +0.0200, p 0.0400"),
        ("logloss", {"p": 0.3}, {"p": 0.05}, "not better with p of at most 0.05"),
        ("logloss", {"margin": 0.0101}, {"margin": 0.0099}, "within margin 0.0099: its interval begins at -0.0100"),
        ("auc", {"min_lift": 0.002, "p": 0.05}, {"min_lift": 0.1, "p": 0.01}, "0.1; not better"),
    ],
)
def test_a_gate_holds_within_its_limit_and_fails_beyond(
    name: str, within: dict[str, float], beyond: dict[str, float], words: str
) -> None:
    assert outcome(name, **within) == GateOutcome(name, passed=True, text="passed")
    failed = outcome(name, **beyond)
    assert not failed.passed
    assert words in failed.text


def test_a_worse_model_is_not_better_however_sure_that_is() -> None:
    worse = replace(RESULT, differences={"auc": Difference(-0.02, -0.03, -0.01, 0.005, 0.0001)})
    assert not outcome("auc", worse, p=0.05).passed


@pytest.mark.parametrize("limit", [{"max": 0.02}, {"min": 0.0}, {"min_lift": -1.0}, {"p": 0.5}, {"margin": 10.0}])
def test_what_cannot_be_told_is_not_passed(limit: dict[str, float]) -> None:
    assert not outcome("calibration_error", **limit).passed
    few = replace(RESULT, differences={"auc": Difference.unsure(0.02, 3.0, "3 clusters; it takes 5")})
    if limit.keys() & {"p", "margin"}:
        assert "3 clusters; it takes 5" in outcome("auc", few, **limit).text


def sliced(*slices: tuple[float, float, float]) -> Evaluation:
    """A result with parts: share of rows, AUC, p of all."""
    parts = [
        SliceResult("user", f"u{number}", 10, share, auc, 0.7, Difference(auc - 0.7, -0.1, 0.1, 0.01, 0.001, p))
        for number, (share, auc, p) in enumerate(slices)
    ]
    return replace(RESULT, slices=tuple(parts))


def test_slices_are_held_to_the_first_metric_where_they_are_large_enough() -> None:
    result = sliced((0.5, 0.72, 0.01), (0.01, 0.66, 0.4), (0.009, 0.3, 0.9))
    assert outcome("slices", result, min=0.66).passed
    assert outcome("slices", result, min=0.661).text == "user u1: 0.6600 is below min 0.661"
    assert "user u1: lift -0.0400 is below min_lift -0.03" in outcome("slices", result, min_lift=-0.03).text
    told = outcome("slices", sliced((0.5, 0.72, 0.06)), p=0.05)  # by the p-value of the whole table
    assert "p 0.0600" in told.text
    assert outcome("slices", sliced((0.5, 0.72, 0.05)), p=0.05).passed
    assert not outcome("slices", sliced((0.5, math.nan, 0.01)), min=0.1).passed
    assert "there is no slice of at least 1 %" in outcome("slices", sliced((0.001, 0.9, 0.01)), min=0.1).text


def test_latency_is_held_to_its_limit_and_must_have_been_measured() -> None:
    assert outcome("latency", replace(RESULT, latency_ms=2.0), max=2.0).passed
    assert "above max 1.9" in outcome("latency", replace(RESULT, latency_ms=2.0), max=1.9).text
    assert not outcome("latency", max=100.0).passed


@pytest.mark.parametrize(
    ("gates", "line"),
    [
        ({"latency": {"min": 1.0}}, "gates.latency.min: latency has a max, in milliseconds"),
        (
            {"slices": {"min": 0.5, "against": "champion"}},
            "gates.slices.against: slices are compared with the baseline",
        ),
        ({"slice": {"min": 0.5}}, "gates.slice: no metric 'slice'"),
        ({"slices": {"p": 0.5}}, "gates.slices.p: needs evaluation.baseline"),
        ({"auc": {"p": 0.5, "against": "champion"}, "latency": {"max": 3.0}}, None),
    ],
)
def test_what_is_wrong_with_them_is_one_line(gates: dict[str, Any], line: str | None) -> None:
    problem = RunSpec.model_validate(make_config()).problem
    found = [f"{one.key}: {one.message}" for one in EvaluationSpec.model_validate({"gates": gates}).check(problem)]
    assert [one[: len(str(line))] for one in found] == ([line] if line else [])


def test_gates_are_in_every_file(tmp_path: Path) -> None:
    score = np.random.default_rng(0).random(400)
    label = (np.random.default_rng(1).random(400) < score).astype(float)
    rows = ScoredRows(label, ModelScores("ours", score), ModelScores("theirs", np.full(400, 0.5)))
    gates = {"auc": {"min_lift": 0.1, "p": 0.01}, "brier": {"max": 0.001}}
    result = evaluate(rows, EvaluationSpec.model_validate({"gates": gates}))
    write_report(tmp_path, result, rows, Insight())
    metrics = Metrics.read(tmp_path)
    assert [(one.metric, one.passed) for one in metrics.gates] == [("auc", True), ("brier", False)]
    assert [one.metric for one in metrics.failed_gates] == ["brier"]
    suite = ET.parse(tmp_path / "gates.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["brier"]
    assert "| brier | **failed** |" in (tmp_path / "report.md").read_text()


def test_junit_escapes_names(tmp_path: Path) -> None:
    write_junit(tmp_path / "a.xml", [GateOutcome("ndcg@5", passed=False, text='1 < 2 & "3"')], "<model>")
    (case,) = ET.parse(tmp_path / "a.xml").getroot()
    assert (case.get("name"), case[0].get("message")) == ("ndcg@5", '1 < 2 & "3"')


@pytest.mark.parametrize(("passed", "code"), [(True, None), (False, 1)])
def test_a_run_that_fails_a_gate_ends_with_1_and_proposes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], passed: bool, code: int | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["kedro", "run"])
    monkeypatch.setattr("proml_kedro.workflow.run.limit_environment", lambda hardware: None)
    run = Run.of(RunSpec.model_validate(make_config()), tmp_path)
    content: dict[str, Any] = {
        **METRICS,
        "baseline": None,
        "rows": 7,
        "gates": [GateOutcome("auc", passed, "0.6 is below min 0.7")],
    }
    made = run.store.build("evaluation", {}, Metrics.of(content).write)
    dataset = ArtifactDataset(str(tmp_path / "evaluation"))
    catalog = DataCatalog({"run": RunDataset(run), "evaluation": dataset})
    pipeline = Pipeline([Node(lambda run: made, ["run"], "evaluation", name="evaluate")])
    project_hooks = hooks.ProjectHooks()
    project_hooks.before_pipeline_run(pipeline, catalog)
    dataset.save(made)
    try:
        project_hooks.after_pipeline_run({}, pipeline, catalog)
        found = None
    except SystemExit as ended:
        found = ended.code
    assert found == code
    ((_, record),) = read_records(run.store.data_dir, pytest.fail)
    assert record.state == "done"
    assert record.verdicts["gates"] == ("passed" if passed else "auc failed")
    printed = capsys.readouterr().out
    assert ("Gate of auc failed: 0.6 is below min 0.7" in printed) == (not passed)
