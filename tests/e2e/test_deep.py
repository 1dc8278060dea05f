"""The shipped deep models on 336,776 real flights and on a generated search for jobs, with the configuration's seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")


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
    command = [KEDRO, "run", "--pipelines=features,train,evaluate", f"model={model}", f"data_dir={data}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((data / "flight_delays" / model / "evaluation" / "metrics.json").read_text())
    assert metrics["rows"] == 82_609
    assert metrics["candidate"]["auc"] >= auc
    assert metrics["candidate"]["logloss"] <= logloss


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs") / "data"


@pytest.mark.parametrize(
    ("problem", "model", "auc"),
    [
        ("job_recommendations", "two_tower", 0.743),
        ("job_recommendations", "multi_task", 0.770),
        ("job_histories", "sequence", 0.766),
    ],
)
def test_a_shipped_model_of_the_search_for_jobs(problem, model, auc, jobs):
    command = [KEDRO, "run", "--pipelines=features,train,evaluate", f"problem={problem}", f"model={model}"]
    done = subprocess.run(
        [*command, "~evaluation.baseline", f"data_dir={jobs}"], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((jobs / problem / model / "evaluation" / "metrics.json").read_text())
    assert metrics["candidate"]["auc"] >= auc
    assert (jobs / problem / model / "trained_model").is_dir()
    assert list((jobs / problem / model / "trained_model").glob("*/saved_model/saved_model.pb"))
