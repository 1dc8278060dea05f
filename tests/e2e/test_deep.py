"""The shipped deep models on 336,776 real flights and on a generated search for jobs, with the configuration's seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from proml_kedro import open_project
from proml_kedro.bundle import Bundle
from proml_kedro.models.columns import in_split, read_columns
from proml_kedro.models.component import Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.inputs import input_types

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def evaluate(*overrides: str) -> dict[str, Any]:
    """Train and judge a model in this process, which loads TensorFlow once for all of them; return its metrics.

    Steps in one process give what `kedro run` gives: test_steps.py.
    """
    evaluation = open_project(ROOT, *overrides).run(results=("evaluation",))["evaluation"]
    metrics: dict[str, Any] = json.loads((evaluation.path / "metrics.json").read_text())
    return metrics


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One data folder: tables and features are made once."""
    return tmp_path_factory.mktemp("flights") / "data"


@pytest.mark.parametrize(
    ("model", "auc", "logloss"),
    [
        ("deep_wide", 0.728, 0.465),
        ("deep_mlp", 0.725, 0.467),
        ("deep_cross", 0.725, 0.467),
        ("deepfm", 0.720, 0.470),
        ("dlrm", 0.720, 0.470),
    ],
)
def test_a_shipped_model_is_as_good_as_its_reference(model, auc, logloss, data):
    metrics = evaluate(f"model={model}", "~evaluation.baseline", f"data_dir={data}")
    assert metrics["rows"] == 82_609
    assert metrics["candidate"]["auc"] >= auc
    assert metrics["candidate"]["logloss"] <= logloss


@pytest.mark.parametrize(
    ("problem", "model", "auc"),
    [
        ("job_recommendations", "two_tower", 0.75),
        ("job_recommendations", "multi_task", 0.770),
        ("job_histories", "sequence", 0.766),
    ],
)
def test_a_shipped_model_of_the_search_for_jobs(problem, model, auc, job_data):
    chosen = (f"problem={problem}", f"model={model}", "~evaluation.baseline", f"data_dir={job_data}")
    metrics = evaluate(*chosen)
    assert metrics["candidate"]["auc"] >= auc
    trained = open_project(ROOT, *chosen).run(results=("trained_model",))["trained_model"]
    assert list(trained.path.glob("*/saved_model/saved_model.pb"))


def test_near_means_likely(job_data):
    """An index of neighbours asks the towers alone: without a head of its own their affinity had an AUC of .64."""
    project = open_project(
        ROOT, "problem=job_recommendations", "model=two_tower", "~evaluation.baseline", f"data_dir={job_data}"
    )
    made = project.run(results=("training_set", "trained_model"))
    spec = project.spec
    types = input_types(spec.problem, spec.features)
    towers = ModelGraph.load(spec.model, types, made["trained_model"].path, "binary").components["towers"]
    asked = [*towers.inputs, Input("label", "float")]
    columns = dict(read_columns(made["training_set"].file("training_set.parquet"), asked, in_split("test")))
    label = columns.pop("label")
    assert roc_auc_score(label, towers.score(columns)["affinity"]) >= 0.69


@pytest.mark.parametrize("model", ["deep_mlp", "deep_cross", "deep_wide", "deepfm", "dlrm"])
def test_a_model_without_names_of_features_reads_vectors_too(model, tmp_path_factory, small_jobs):
    short = ("model.components.tower.training.epochs=1", "problem.generator.lists=400", "~evaluation.baseline")
    chosen = ("problem=job_recommendations", f"model={model}", f"data_dir={small_jobs}", *short)
    bundle = Bundle.load(open_project(ROOT, *chosen).run(results=("bundle",))["bundle"].path)
    assert {"member.title_embedding", "job.title_embedding"} <= {one.name for one in bundle.inputs}


@pytest.fixture(scope="module")
def small_jobs(tmp_path_factory):
    return tmp_path_factory.mktemp("small_jobs") / "data"
