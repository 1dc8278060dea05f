"""Published tables of several classes, as plain CSV: from YAML to a service that names them, as good as a script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn import datasets, metrics
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from proml_kedro import open_project
from proml_kedro.artifacts import Artifact
from proml_kedro.bundle import Bundle
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.results import Scores
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.scorer import BundleScorer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*httpx.*"),
]

KEDRO = Path(sys.executable).with_name("kedro")
CONFIG = """\
defaults: [problem: flowers, features: flowers, model: trees, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, catalog: default, _self_]
config_version: 1
"""
PROBLEM = """\
tables: {rows: {source: rows.csv}}
examples: {table: rows}
label: {expression: kind, task: multiclass}
split: {by: random, validation: 20%, test: 30%}
"""
MODEL = """\
components:
  trees: {kind: xgboost, inputs: ["*"], num_boost_round: 20, refit: false, params: {max_depth: 3, learning_rate: 0.3}}
score: trees
"""
PARAMS = {"objective": "multi:softprob", "max_depth": 3, "learning_rate": 0.3, "seed": 0, "nthread": 1}


def frame_of(name: str) -> pd.DataFrame:
    """A published table: numbers x0, x1 and so on, and the class, by name where it has one."""
    data = getattr(datasets, f"load_{name}")()
    frame = pd.DataFrame(data.data, columns=[f"x{number}" for number in range(data.data.shape[1])])
    return frame.assign(kind=data.target if name == "digits" else data.target_names[data.target])


def project(folder: Path, name: str) -> pd.DataFrame:
    frame = frame_of(name)
    frame.to_csv(folder / "rows.csv", index=False)
    features = "".join(f"    {one}: {{dtype: float}}\n" for one in frame.columns[:-1])
    files = {
        "config.yaml": CONFIG,
        "problem/flowers.yaml": PROBLEM,
        "features/flowers.yaml": f"row:\n  source: request\n  features:\n{features}",
        "model/trees.yaml": MODEL,
    }
    for file, text in files.items():
        (folder / "conf" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / file).write_text(text)
    return frame


def run(folder: Path, *results: str) -> Mapping[str, Artifact]:
    return open_project(folder, "hardware.threads=1", "monitoring.gate.min_rows=30").run(results=results)


def scripts(frame: pd.DataFrame, split: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities of the test rows by XGBoost and by scikit-learn alone, on the same rows."""
    inputs = frame.drop(columns="kind").to_numpy(np.float32)
    label = np.unique(frame["kind"], return_inverse=True)[1]
    train, test = split == "train", split == "test"
    data = xgboost.QuantileDMatrix(inputs[train], label[train])
    booster = xgboost.train({**PARAMS, "num_class": label.max() + 1}, data, 20)
    learned = train | (split == "validation")  # a linear model has nothing to choose
    numbers = StandardScaler().fit(inputs[learned].astype(np.float64))
    linear = LogisticRegression(max_iter=500).fit(numbers.transform(inputs[learned]), label[learned])
    return booster.inplace_predict(inputs[test]), linear.predict_proba(numbers.transform(inputs[test]))


@pytest.mark.parametrize("name", ["iris", "wine", "digits"])
def test_probabilities_are_those_of_scripts_on_published_data(name: str, tmp_path: Path) -> None:
    frame = project(tmp_path, name)
    made = run(tmp_path, "evaluation")
    split = pq.read_table(made["training_set"].path / "training_set.parquet")["split"].to_numpy()
    trees, linear = scripts(frame, split)
    scores = Scores.read(made["evaluation"].path, "test").table
    classes = sorted(frame["kind"].unique())
    assert scores["label"].to_pylist() == frame["kind"].astype(str)[split == "test"].tolist()
    for prefix, expected in (("probability", trees), ("baseline", linear)):
        found = np.column_stack([scores[f"{prefix}.{one}"].to_numpy() for one in classes])
        assert np.abs(found - expected).max() < (1e-6 if prefix == "probability" else 1e-4)
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-6
    assert scores["class"].to_pylist() == [str(classes[one]) for one in trees.argmax(axis=1)]
    told = json.loads((made["evaluation"].path / "metrics.json").read_text())
    assert told["candidate"]["accuracy"] == metrics.accuracy_score(scores["label"], scores["class"])
    assert told["candidate"]["accuracy"] > 0.85
    assert told["candidate"]["macro_f1"] == pytest.approx(
        metrics.f1_score(scores["label"], scores["class"], average="macro"), abs=1e-9
    )
    assert told["class_shares"] == pytest.approx(
        {str(one): np.mean(frame["kind"][split == "test"] == one) for one in classes}
    )


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("iris")
    project(folder, "iris")
    return {name: one.path for name, one in run(folder, "evaluation", "bundle", "drift").items()}


def test_report_card_and_drift_speak_of_classes(flowers: Mapping[str, Path]) -> None:
    report = (flowers["evaluation"] / "report.md").read_text()
    assert "rows, of 3 classes: setosa 33.3%, versicolor 33.3%, virginica 33.3%." in report
    for plot in ("confusion", "calibration", "scores", "importance"):
        assert f"![{plot}]({plot}.png)" in report
        assert (flowers["evaluation"] / f"{plot}.png").stat().st_size > 5000
    card = (flowers["bundle"] / "card.md").read_text()
    assert "The probability of each class of: flowers (`kind`)." in card
    assert "| train | 75 | setosa 33.3%, versicolor 33.3%, virginica 33.3% |" in card
    drift = json.loads((flowers["drift"] / "drift.json").read_text())
    columns = {one["name"]: one for one in drift["columns"]}
    assert set(columns) >= {"score", "score of setosa", "score of versicolor", "score of virginica"}
    assert all(columns[one]["psi"] is not None for one in ("score", "score of setosa"))


def test_a_service_names_classes(flowers: Mapping[str, Path]) -> None:
    from starlette.testclient import TestClient

    bundle = Bundle.load(flowers["bundle"])
    assert bundle.classes == ("setosa", "versicolor", "virginica")
    rows = [{f"row.x{number}": value for number, value in enumerate(one)} for one in ([5.1, 3.5, 1.4, 0.2], [None] * 4)]
    frame = pd.DataFrame(rows, dtype=float)
    with TestClient(make_application(BundleScorer(flowers["bundle"]), bundle.manifest.serving, Options())) as client:
        answer = client.post("/predict", json={"instances": rows}).json()
        assert client.get("/metadata").json()["classes"] == list(bundle.classes)
        described = client.get("/openapi.json").json()["components"]["schemas"]["Scores"]["properties"]
    assert set(described) == {"predictions", "probabilities", "missing", "expired", "degraded", "model", "models"}
    assert answer["predictions"][0] == "setosa"
    found = np.array([[one[name] for name in bundle.classes] for one in answer["probabilities"]])
    assert np.array_equal(found, bundle.score_frame(frame))
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-6


def test_a_file_of_scores_names_classes(flowers: Mapping[str, Path], tmp_path: Path) -> None:
    frame = frame_of("iris").drop(columns="kind")
    frame.to_parquet(tmp_path / "new.parquet")
    output = tmp_path / "scores.parquet"
    command = [str(KEDRO), "predict", str(flowers["bundle"]), str(tmp_path / "new.parquet"), "-o", str(output)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "150 rows scored by flowers-trees" in done.stdout
    bundle = Bundle.load(flowers["bundle"])
    expected = bundle.score_frame(frame.rename(columns=lambda one: f"row.{one}"))
    table = pq.read_table(output)
    assert table.column_names == ["row", "class", "score", *(f"probability.{one}" for one in bundle.classes)]
    assert np.array_equal(np.column_stack([table[f"probability.{one}"] for one in bundle.classes]), expected)
    assert table["class"].to_pylist() == [bundle.classes[one] for one in expected.argmax(axis=1)]
    setosa = float(np.mean(expected.argmax(axis=1) == 0))
    assert f"setosa {setosa:.1%}" in done.stdout
    assert Predictions(np.repeat(np.arange(3), 50), expected).measure(["accuracy"])["accuracy"] > 0.9
