"""A rolling origin from YAML: each fold's model knows what lies before it and nothing else, as a script proves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.metrics import log_loss, roc_auc_score

from proml_kedro import open_project
from proml_kedro.errors import UserError

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FILES = {
    "config.yaml": """\
defaults: [problem: calls, features: calls, model: trees, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, catalog: default, _self_]
config_version: 1
""",
    "problem/calls.yaml": """\
tables: {calls: {source: calls.csv}}
examples: {table: calls, timestamp: at}
label: {expression: bought = 1}
split: {by: rolling, every: 1w, folds: 4, validation: 3d}
""",
    "features/calls.yaml": """\
call:
  source: request
  features: {minutes: {dtype: float}, hour: {dtype: float}}
""",
    "model/trees.yaml": """\
components:
  trees: {kind: xgboost, inputs: ["*"], num_boost_round: 15, refit: false, params: {max_depth: 3, learning_rate: 0.3}}
score: trees
""",
}
WEEK, CHOSEN = pd.Timedelta(days=7), pd.Timedelta(days=3)
PARAMS = {"objective": "binary:logistic", "max_depth": 3, "learning_rate": 0.3, "seed": 0, "nthread": 1}


def calls(rows: int = 5000) -> pd.DataFrame:
    """What makes somebody buy changes from week to week, so that folds differ."""
    generator = np.random.default_rng(1)
    at = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.sort(generator.integers(0, 60 * 86400, rows)), "s")
    minutes, hour = generator.exponential(5, rows).round(2), at.hour + generator.integers(0, 2, rows)
    slope = np.linspace(-0.2, 0.5, rows)
    bought = generator.random(rows) < 1 / (1 + np.exp(-(slope * (minutes - 5) + 0.1 * (hour - 12))))
    return pd.DataFrame({"at": at, "minutes": minutes, "hour": hour, "bought": bought.astype(int)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("calls")
    frame = calls()
    frame.to_csv(folder / "calls.csv", index=False)
    for file, text in FILES.items():
        (folder / "conf" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / file).write_text(text)
    project = open_project(folder, "hardware.threads=1", "evaluation.metrics=[auc,logloss]")
    return frame, project.run(results=("evaluation",))["evaluation"].path


def by_script(frame: pd.DataFrame, back: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Places of the test rows of a fold, and their scores by XGBoost alone, trained on what lies before."""
    age = frame["at"].max() - frame["at"]
    test = (age >= back * WEEK) & (age < (back + 1) * WEEK)
    train = age >= (back + 1) * WEEK + CHOSEN
    inputs = frame[["minutes", "hour"]].to_numpy(np.float32)
    data = xgboost.QuantileDMatrix(inputs[train], frame["bought"][train])
    return np.flatnonzero(test), xgboost.train(PARAMS, data, 15).inplace_predict(inputs[test])


def test_each_fold_is_scored_by_a_model_of_what_lies_before(made: tuple[pd.DataFrame, Path]) -> None:
    frame, evaluation = made
    table = pq.read_table(evaluation / "folds.parquet").to_pandas()
    assert sorted(table["fold"].unique()) == [1, 2, 3, 4]
    told = json.loads((evaluation / "folds.json").read_text())
    every_label, every_score = [], []
    for number, facts in enumerate(told["folds"], 1):
        rows, scores = by_script(frame, back=4 - number)
        fold = table[table["fold"] == number]
        assert fold["example_id"].tolist() == rows.tolist()
        assert np.abs(fold["score"].to_numpy() - scores).max() < 1e-6
        label = frame["bought"].to_numpy()[rows]
        assert fold["label"].tolist() == label.tolist()
        assert facts["rows"] == len(rows)
        assert facts["learned"] == int((frame["at"] < pd.Timestamp(facts["from"])).sum())
        assert facts["candidate"]["auc"] == pytest.approx(roc_auc_score(label, fold["score"]), abs=1e-9)
        assert facts["candidate"]["logloss"] == pytest.approx(log_loss(label, fold["score"]), abs=1e-9)
        assert facts["baseline"]["auc"] == pytest.approx(roc_auc_score(label, fold["baseline"]), abs=1e-9)
        every_label.append(label)
        every_score.append(fold["score"])
    together = told["together"]
    assert together["rows"] == len(table) == sum(map(len, every_label))
    pooled = roc_auc_score(np.concatenate(every_label), np.concatenate(every_score))
    assert together["candidate"]["auc"] == pytest.approx(pooled, abs=1e-9)
    assert together["differences"]["auc"]["low"] < together["differences"]["auc"]["high"]


def test_the_last_fold_is_the_run_itself(made: tuple[pd.DataFrame, Path]) -> None:
    _, evaluation = made
    metrics = json.loads((evaluation / "metrics.json").read_text())
    told = json.loads((evaluation / "folds.json").read_text())
    assert told["folds"][-1]["candidate"] == metrics["candidate"]
    assert told["folds"][-1]["rows"] == metrics["rows"]
    report = (evaluation / "report.md").read_text()
    assert "## Rolling origin" in report
    assert "auc of 4 folds, each of a model that was trained on what lies before." in report
    assert sum(line.startswith(("| 1 |", "| 4 |", "| together |")) for line in report.splitlines()) == 3
    assert not list(evaluation.glob("fold_*")), "training sets of folds are gone"


def test_an_earlier_bundle_is_no_start_for_folds(made: tuple[pd.DataFrame, Path]) -> None:
    folder = made[1].parents[3]
    with pytest.raises(UserError) as caught:
        open_project(folder, "+model.training.warm_start=data").spec  # noqa: B018
    assert any("an earlier bundle may have learned from what later folds" in str(one) for one in caught.value.mistakes)
