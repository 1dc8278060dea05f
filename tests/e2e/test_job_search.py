"""The generated search for jobs: a mixed-effects model finds what is true of members and jobs, as far as can be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kedro_process import run_kedro
from proml_kedro.evaluation.predictions import Predictions

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(job_data):
    for model in ("job_mixed", "xgboost"):
        command = ["run", "--pipelines=features,train,evaluate", "problem=job_recommendations", f"model={model}"]
        done = run_kedro([*command, f"data_dir={job_data}"], ROOT)
        assert done.returncode == 0, done.stderr
    return job_data / "job_recommendations"


def truth(data, name):
    return pq.read_table(data / "tables" / "truth" / f"{name}.parquet").to_pandas()


def effects(data, number):
    """Coefficients of each entity, the rows behind each, and the entities."""
    folder = data / "job_mixed" / "trained_model" / "personal"
    read = {name: np.load(folder / f"effect_{number}.{name}.npy") for name in ("coefficients", "rows", "levels")}
    return read["coefficients"], read["rows"], read["levels"].astype(str).astype(int)


def metrics(data, model="job_mixed"):
    return json.loads((data / model / "evaluation" / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("number", "column", "name", "table", "least_rows", "at_least"),
    [
        (0, 0, "intercept", "members", 300, 0.8),
        (0, 1, "remote_slope", "members", 300, 0.8),
        (1, 0, "intercept", "jobs", 300, 0.85),
    ],
)
def test_random_effects_are_those_that_were_drawn(data, number, column, name, table, least_rows, at_least):
    coefficients, rows, entities = effects(data, number)
    known = truth(data, table)[name].to_numpy()[entities]
    often = rows >= least_rows
    assert often.sum() > 50
    assert np.corrcoef(coefficients[often, column], known[often])[0, 1] > at_least
    # Where little was seen the effect is shrunk towards zero: never louder than the truth, and less than elsewhere.
    rare = rows < 30
    assert coefficients[rare, column].std() < coefficients[often, column].std()


def test_the_model_is_between_what_can_be_known_without_effects_and_everything(data):
    test = pq.read_table(
        data / "job_mixed" / "training_set" / "training_set.parquet",
        columns=["member_id", "job_id", "label", "timestamp", "job.is_remote", "impression.position", "split"],
        filters=[("split", "=", "test")],
    ).to_pandas()
    seen = pq.read_table(
        data / "tables" / "impressions.parquet", columns=["impression_id", "event_timestamp"]
    ).to_pandas()
    shown = seen[seen["event_timestamp"] >= test["timestamp"].min()]["impression_id"].to_numpy()
    assert len(shown) == len(test)
    true = truth(data, "impressions").set_index("impression_id").loc[shown]
    members, jobs = truth(data, "members"), truth(data, "jobs")
    member, job = test["member_id"].to_numpy(), test["job_id"].to_numpy()
    personal = (
        members["intercept"].to_numpy()[member]
        + members["remote_slope"].to_numpy()[member] * test["job.is_remote"].to_numpy().astype(float)
        + jobs["intercept"].to_numpy()[job]
    )
    everybody = 1 / (1 + np.exp(personal - true["relevance"].to_numpy())) * true["examination"].to_numpy()
    label = test["label"].to_numpy()
    oracle, without = (Predictions(label, score).measure(["auc"])["auc"] for score in (true["p_click"], everybody))
    found = metrics(data)["candidate"]["auc"]
    assert without + 0.3 * (oracle - without) < found < oracle


def test_orders_are_better_than_those_of_the_baseline(data):
    for model in ("job_mixed", "xgboost"):
        found = metrics(data, model)
        assert found["ranking"]["within"] == "group"
        for name in ("ndcg@10", "mrr"):
            assert found["differences"][name]["low"] > 0, name
