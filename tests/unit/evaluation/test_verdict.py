"""The verdict in words, for every way in which a model and its baseline can differ."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from proml_kedro import summary
from proml_kedro.artifacts import Artifact
from proml_kedro.evaluation.result import Difference, Evaluation
from proml_kedro.evaluation.verdict import compare
from proml_kedro.results import Metrics, Places
from proml_kedro.spec import RunSpec
from small import make_config

NAN = math.nan


def _difference(difference: float, low: float, high: float) -> Difference:
    p = 0.001 if low > 0 or high < 0 else 0.5
    return Difference(difference, low, high, 0.01, p, p, 9.0, "one cluster" if math.isnan(low) else "")


def evaluation(**differences: tuple[float, float, float]) -> Evaluation:
    """Metrics with these differences to the baseline: difference, low and high."""
    made = {name: _difference(*one) for name, one in differences.items()}
    names = list(made) or ["auc"]
    return Evaluation(
        rows=100,
        task="binary",
        label_mean=0.3,
        positive_rate=0.3,
        candidate=dict.fromkeys(names, 0.6),
        baseline=dict.fromkeys(names, 0.5) if made else None,
        differences=made,
        cluster_by="day",
        clusters=9,
        confidence=0.95,
        ranking=None,
    )


CASES = [
    ({"auc": (0.02, 0.01, 0.03)}, "better", "trees is better than line: auc +0.0200 (95% interval +0.0100 … +0.0300)."),
    ({"logloss": (-0.02, -0.03, -0.01)}, "better", "trees is better than line: logloss -0.0200"),
    ({"auc": (0.02, -0.01, 0.03)}, "unclear", "trees is not clearly better than line: auc +0.0200"),
    ({"auc": (0.02, 0.0, 0.03)}, "unclear", "trees is not clearly better"),
    (
        {"auc": (-0.0357, -0.0619, -0.0142)},
        "worse",
        "trees is worse than line: auc -0.0357 (95% interval -0.0619 … -0.0142)",
    ),
    ({"rmse": (0.5, 0.1, 0.9)}, "worse", "trees is worse than line: rmse +0.5000"),
    (
        {"auc": (-0.01, -0.03, 0.01)},
        "unclear worse",
        "trees is not better than line, and not clearly worse: auc -0.0100",
    ),
    ({"auc": (0.0, 0.0, 0.0)}, "equal", "trees is as good as line, no better: auc +0.0000"),
    ({"auc": (0.0, NAN, NAN)}, "equal", "as good as line"),
    ({"auc": (0.02, NAN, NAN)}, "unclear", "auc +0.0200 (no interval: one cluster)"),
    ({"auc": (-0.02, NAN, NAN)}, "unclear worse", "auc -0.0200 (no interval: one cluster)"),
    ({"auc": (NAN, NAN, NAN)}, "undefined", "trees cannot be compared with line: auc is undefined"),
    ({}, "alone", "trees was compared with nothing. Set evaluation.baseline"),
    (
        {"auc": (0.02, 0.01, 0.03), "logloss": (0.2, 0.1, 0.3), "brier": (-0.1, -0.2, -0.05)},
        "better",
        "; but clearly worse in logloss.",
    ),
    (
        {"auc": (-0.02, -0.03, -0.01), "brier": (-0.1, -0.2, -0.05)},
        "worse",
        "; but clearly better in brier. Do not serve",
    ),
]


@pytest.mark.parametrize(("differences", "kind", "words"), CASES, ids=[f"{one[1]}-{i}" for i, one in enumerate(CASES)])
def test_the_verdict(differences, kind, words):
    verdict = compare(evaluation(**differences), "trees", "line" if differences else None)
    assert verdict.kind == kind
    assert words in verdict.in_words
    assert verdict.in_words.endswith(".")
    assert ".." not in verdict.in_words.replace("…", "")
    assert verdict.forbids_serving == ("worse" in kind)


def test_another_metric_is_clear_only_as_one_of_all():
    result = evaluation(auc=(0.02, 0.01, 0.03), logloss=(0.2, 0.1, 0.3))
    unsure = replace(result.differences["logloss"], p_value=0.04, p_adjusted=0.08)
    result = replace(result, differences={**result.differences, "logloss": unsure})
    assert "logloss" not in compare(result, "trees", "line").in_words


@pytest.mark.parametrize(
    ("differences", "serves"),
    [
        ({"auc": (0.1, 0.05, 0.2)}, True),
        ({"auc": (-0.1, -0.2, -0.05)}, False),
        ({"auc": (-0.1, -0.2, 0.1)}, False),
        ({}, True),
    ],
)
@pytest.mark.parametrize("made", [("bundle",), ("bundle", "bento")])
def test_a_model_that_is_worse_is_not_proposed_for_serving(
    monkeypatch, capsys, tmp_path: Path, differences, serves, made
):
    monkeypatch.setattr(sys, "argv", ["kedro", "run"])
    result = evaluation(**differences)
    verdict = compare(result, "xgboost", "line" if differences else None)
    Metrics.of({**result.as_dict(), "verdict": verdict, "baseline_name": "line"}).write(tmp_path)
    artifact = Artifact(tmp_path, "0")
    run = RunSpec.model_validate(make_config())
    summary.show({"evaluation": artifact, **dict.fromkeys(made, artifact)}, run, Places("data", "sales", "xgboost"), {})
    printed = capsys.readouterr().out
    assert printed.splitlines()[2] == verdict.in_words, "the first line below the heading"
    assert ("\n  serve it " in printed) == (serves and "bento" in made)
    assert ("--pipelines=materialize,package" in printed) == (serves and "bento" not in made)


def test_what_an_earlier_run_has_judged_worse_is_packaged_but_not_proposed_for_serving(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["kedro", "run", "--pipelines=package"])
    result = evaluation(auc=(-0.1, -0.2, -0.05))
    Metrics.of({**result.as_dict(), "verdict": compare(result, "xgboost", "line")}).write(tmp_path)
    made = dict.fromkeys(("bundle", "bento"), Artifact(tmp_path, "0"))
    summary.show(made, RunSpec.model_validate(make_config()), Places("data", "sales", "xgboost"), {})
    assert "serve it" not in capsys.readouterr().out


def test_a_model_and_a_baseline_of_one_name_are_told_apart() -> None:
    found = compare(evaluation(auc=(0.0, 0.0, 0.0)), "linear", "linear")
    assert found.text.startswith("linear is as good as the baseline linear, no better")
    assert found.in_words.endswith("Keep the baseline.")
