"""One verdict, in the same words everywhere, and what decided it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from proml_kedro import summary
from proml_kedro.artifacts import Artifact
from proml_kedro.health.drift import check_drift
from proml_kedro.health.report import write_result
from proml_kedro.models.component import Input
from proml_kedro.results import ColumnDrift, DriftResult, Places
from proml_kedro.results.drift import Cause
from proml_kedro.spec import RunSpec
from proml_kedro.spec.monitoring import GateSpec
from small import make_config


def result(verdict, *verdicts):
    columns = tuple(ColumnDrift(f"c{number}", one) for number, one in enumerate(verdicts))
    return DriftResult(verdict, 9, 9, 0.0, (), columns)


@pytest.mark.parametrize(
    ("verdict", "columns", "words"),
    [
        ("ok", ["ok", "ok"], "like the reference, in all of 2 columns"),
        ("warn", ["warn", "ok"], "no drift, but 1 of 2 columns differs"),
        ("warn", ["warn", "warn", "ok"], "no drift, but 2 of 3 columns differ"),
        ("drift", ["drift", "ok"], "drifted: 1 of 2 columns"),
        ("drift", ["drift", "warn", "warn"], "drifted: 1 of 3 columns, 2 more differ"),
        ("drift", ["warn", "warn"], "drifted: 2 of 2 columns differ, which is too many"),
        ("insufficient", [], "too few rows to tell"),
    ],
)
def test_every_report_says_the_verdict_in_the_same_words(monkeypatch, capsys, tmp_path: Path, verdict, columns, words):
    monkeypatch.setattr(sys, "argv", ["kedro", "run"])
    found = result(verdict, *columns)
    write_result(tmp_path, found, "x")
    assert json.loads((tmp_path / "drift.json").read_text())["words"] == words
    assert (tmp_path / "drift.md").read_text().startswith(f"## Drift of x: **{words}**\n")
    run = RunSpec.model_validate(make_config())
    summary.show({"drift": Artifact(tmp_path, "0")}, run, Places("data", "sales", "xgboost"), {})
    assert f"Drift verdict: {words}" in capsys.readouterr().out
    assert DriftResult.read(tmp_path).words == words


def test_what_decided_is_the_reason_farthest_beyond_its_limit():
    generator = np.random.default_rng(0)
    reference = {name: generator.normal(size=3000) for name in ("holes", "moved", "same", "gone", "scaled")}
    current = {name: generator.normal(size=3000) for name in ("holes", "moved", "same")}
    current["holes"][::8] = np.nan
    current["moved"] += 1
    current["scaled"] = np.zeros(3000)
    found = check_drift(reference, current, [Input(name, "float") for name in reference], GateSpec())
    causes = {one.name: one.cause for one in found.columns}
    assert causes["holes"].check == "nulls"
    assert causes["holes"].share == pytest.approx(1.4), "twice its limit, of a share that is not severe"
    assert causes["moved"].check == "distribution"
    assert causes["moved"].share > 1
    assert causes["same"].check == "distribution"
    assert causes["same"].share < 1
    assert causes["gone"] == Cause("schema", 1.0)
    assert causes["scaled"].check == "stuck", "which explains the distribution"
    assert {one.verdict for one in found.columns if one.cause.share is None or one.cause.share >= 1} == {
        "warn",
        "drift",
    }
