"""A plain table, without keys and moments, to a model: a few lines of YAML, as good as a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost
import yaml
from sklearn.metrics import roc_auc_score

from proml_kedro.bundle import Bundle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")
YAML = {
    "config.yaml": """\
defaults: [problem: adult, features: adult, model: trees, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, catalog: default, _self_]
config_version: 1
""",
    "problem/adult.yaml": """\
tables: {people: {source: people.csv}}
examples: {table: people}
label: {expression: income = '>50K'}
split: {by: random, validation: 20%, test: 20%}
""",
    "features/adult.yaml": """\
person:
  source: request
  features:
    age: {dtype: int}
    education: {dtype: int}
    hours: {dtype: int}
    gain: {dtype: float}
    work: {dtype: str}
    marital: {dtype: str}
""",
    "model/trees.yaml": """\
components:
  trees: {kind: xgboost, inputs: ["*"], num_boost_round: 120, refit: false, params: {max_depth: 4, learning_rate: 0.1}}
score: trees
""",
}
WEEKS = "validation_from: 2024-01-01, test_from: 2024-02-01"
FEATURES = list(yaml.safe_load(YAML["features/adult.yaml"])["person"]["features"])


def people(rows: int = 20_000) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    age, education = generator.integers(17, 80, rows), generator.integers(3, 17, rows)
    work = generator.choice(["Private", "Self", "Gov", None], rows, p=[0.6, 0.2, 0.15, 0.05])
    marital = generator.choice(["Married", "Single", "Divorced"], rows)
    gain = np.where(generator.random(rows) < 0.3, np.nan, generator.exponential(3000, rows).round(2))
    margin = 0.3 * (education - 10) + 1.5 * (marital == "Married") - ((age - 48) / 20) ** 2 - 0.6
    margin += np.where(work == "Self", 0.5, 0) + np.nan_to_num(gain) / 6000 - 1.2
    income = np.where(generator.random(rows) < 1 / (1 + np.exp(-margin)), ">50K", "<=50K")
    columns = {"age": age, "education": education, "hours": generator.integers(10, 80, rows), "gain": gain}
    return pd.DataFrame({**columns, "work": work, "marital": marital, "income": income})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adult")
    people().to_csv(folder / "people.csv", index=False)
    for file, text in YAML.items():
        (folder / "conf" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / file).write_text(text)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(KEDRO), "run", "--conf-source", str(folder / "conf"), f"data_dir={folder / 'data'}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=900)


def own_script(frame: pd.DataFrame, split: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
    """Train by XGBoost alone on the same rows and parameters; return the AUC on the test rows, and their scores."""
    inputs = frame[FEATURES].assign(**{one: frame[one].astype("category") for one in ("work", "marital")})
    label = (frame["income"] == ">50K").to_numpy()
    train, test = (split == "train"), (split == "test")
    params = {"objective": "binary:logistic", "max_depth": 4, "learning_rate": 0.1, "tree_method": "hist"}
    matrix = xgboost.QuantileDMatrix(inputs[train], label[train], enable_categorical=True)
    booster = xgboost.train(params, matrix, 120)
    scores = booster.inplace_predict(inputs[test])
    return float(roc_auc_score(label[test], scores)), scores


def test_a_plain_table_needs_few_lines_and_is_as_good_as_a_script(folder: Path) -> None:
    assert sum(len(text.splitlines()) for text in YAML.values()) <= 25
    done = run(folder)
    assert done.returncode == 0, done.stderr
    place = folder / "data" / "adult"
    table = pq.read_table(place / "trees" / "training_set" / "training_set.parquet")
    assert table.column_names[:3] == ["example_id", "split", "label"]
    frame = pd.read_csv(folder / "people.csv")
    assert table["label"].to_pylist() == (frame["income"] == ">50K").astype(float).tolist()
    split = table["split"].to_numpy()
    rates = table.group_by("split").aggregate([("label", "mean")])["label_mean"].to_pylist()
    assert max(rates) - min(rates) < 1e-3, "the parts are stratified"
    auc, scores = own_script(frame, split)
    metrics = json.loads((place / "trees" / "evaluation" / "metrics.json").read_text())
    assert auc > 0.8
    assert metrics["candidate"]["auc"] == pytest.approx(auc, abs=1e-3)
    assert metrics["cluster_by"] == "row"
    assert not (place / "trees" / "evaluation" / "weeks.png").exists(), "there are no weeks"
    bundle = Bundle.load(place / "trees" / "bundle")
    found = bundle.score_frame(frame[split == "test"].rename(columns={one: f"person.{one}" for one in FEATURES}))
    assert np.abs(found - scores).max() < 0.02
    card = (place / "trees" / "bundle" / "card.md").read_text()
    assert "A row holds all that it is made from." in card
    assert "| train | 12," in card or "| train | 11," in card
    drift = json.loads((place / "trees" / "drift" / "drift.json").read_text())
    assert drift["verdict"] in ("ok", "warn")


def test_windows_delays_and_other_tables_are_refused_with_one_line(folder: Path) -> None:
    source, feature = "{table: people, event_time: at}", "{agg: count, windows: [all]}"
    done = run(folder, f"+features.seen={{key: person, source: {source}, features: {{n: {feature}}}}}")
    assert done.returncode == 2
    (line,) = [one for one in done.stderr.splitlines() if "features.seen" in one]
    assert "is read by key and moment, and problem.examples has no timestamp and no entities" in line
    done = run(folder, "problem.examples.lead_time=1h")
    assert "examples.lead_time: is time before examples.timestamp, and there is none" in done.stderr
    problem = folder / "conf" / "problem" / "adult.yaml"
    problem.write_text(YAML["problem/adult.yaml"].replace("by: random, validation: 20%, test: 20%", WEEKS))
    done = run(folder)
    problem.write_text(YAML["problem/adult.yaml"])
    assert "by time needs examples.timestamp, and there is none; write split: {by: random" in done.stderr
