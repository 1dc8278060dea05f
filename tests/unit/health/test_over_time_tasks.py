"""Health over time of classes, numbers and rankings: the same law, other labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.engine.duckdb import parquet
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.significance import alone
from proml_kedro.health.over_time.estimate import Calibration, estimate
from proml_kedro.health.over_time.join import Join, Judged
from proml_kedro.health.over_time.labels import Reader
from proml_kedro.health.over_time.log import read_log
from proml_kedro.health.over_time.measure import Measure, figure_of
from proml_kedro.spec.evaluation import ComparisonSpec, RankingSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import Task

BEGIN = datetime(2024, 4, 1, tzinfo=UTC)
ROWS = 400


def judge(folder: Path, scores: Any, labels: Any, task: Task, classes: tuple[str, ...] = ()) -> Judged:
    """Join a log of four rows a request with labels by keys, all of which are known in time."""
    at = pa.array([BEGIN + timedelta(minutes=20 * (one // 4)) for one in range(ROWS)], pa.timestamp("us", "UTC"))
    log = {
        "request_id": [f"r{one // 4}" for one in range(ROWS)],
        "row": pa.array([one % 4 for one in range(ROWS)], pa.int32()),
        "received_at": at,
        "as_of": at,
        "bundle": ["m:1"] * ROWS,
        "status": pa.array([200] * ROWS, pa.int16()),
        "score": scores,
        "keys.item": [f"i{one}" for one in range(ROWS)],
    }
    told = {"item": [f"i{one}" for one in range(ROWS)], "as_of": at, "known_at": at, "label": labels}
    pq.write_table(pa.table(log), folder / "log.parquet")
    pq.write_table(pa.table(told), folder / "labels.parquet")
    with connect(HardwareSpec(threads=1)) as session:
        rows = Relation(parquet(folder / "log.parquet"), session)
        read = read_log(rows, "m:1", BEGIN + timedelta(days=30), timedelta(days=7), "log")
        reader = Reader("labels", task, classes, {"item": "str"}, None)
        found = reader.read(Relation(parquet(folder / "labels.parquet"), session))
        return Join(BEGIN + timedelta(days=30), None, "hour", None, ()).run(read, found, "labels")


def test_classes(tmp_path):
    from sklearn.metrics import accuracy_score, log_loss

    generator, names = np.random.default_rng(0), ("blue", "green", "red")
    scores = generator.dirichlet([1.0, 2.0, 3.0], ROWS)
    truth = np.array([generator.choice(3, p=one) for one in scores])
    judged = judge(tmp_path, pa.array(scores.tolist()), [names[one] for one in truth], "multiclass", names)
    assert judged.score == pytest.approx(scores)
    assert judged.label.tolist() == truth.tolist()
    measure = Measure(("logloss", "accuracy"), None, ComparisonSpec())
    found = measure.run(judged.label, judged.score, judged.cluster, judged.group)
    assert found["logloss"].difference == pytest.approx(log_loss(truth, scores, labels=[0, 1, 2]))
    assert found["accuracy"].difference == pytest.approx(accuracy_score(truth, scores.argmax(axis=1)))
    with pytest.raises(UserError, match=r"400 labels are no names of classes \(blue, green, red\)"):
        judge(tmp_path, pa.array(scores.tolist()), ["violet"] * ROWS, "multiclass", names)


def test_numbers(tmp_path):
    from sklearn.metrics import r2_score, root_mean_squared_error

    generator = np.random.default_rng(1)
    scores = generator.normal(10, 3, ROWS)
    truth = scores + generator.normal(0, 1, ROWS)
    judged = judge(tmp_path, scores, [f"{one!r}" for one in truth.tolist()], "regression")
    assert judged.label.tolist() == truth.tolist(), "text too, to the last digit"
    found = Measure(("rmse", "r2"), None, ComparisonSpec()).run(
        judged.label, judged.score, judged.cluster, judged.group
    )
    assert found["rmse"].difference == pytest.approx(root_mean_squared_error(truth, scores))
    assert found["r2"].difference == pytest.approx(r2_score(truth, scores))
    with pytest.raises(UserError, match="1 labels are no finite numbers"):
        judge(tmp_path, scores, [float("inf"), *truth[1:]], "regression")


def test_the_order_within_requests(tmp_path):
    from sklearn.metrics import ndcg_score

    generator = np.random.default_rng(2)
    scores = generator.random(ROWS)
    truth = (generator.random(ROWS) < scores).astype(float)
    judged = judge(tmp_path, scores, truth, "binary")
    measure = Measure(("auc",), RankingSpec(metrics=["ndcg@3"]), ComparisonSpec())
    assert measure.names == ("auc", "ndcg@3")
    found = figure_of(measure.run(judged.label, judged.score, judged.cluster, judged.group)["ndcg@3"])
    requests = [(t, s) for t, s in zip(truth.reshape(-1, 4), scores.reshape(-1, 4), strict=True) if t.any()]
    assert found.value == pytest.approx(np.mean([ndcg_score([t], [s], k=3) for t, s in requests]))
    assert found.low is not None
    assert found.low < found.value


def test_an_estimate_is_what_many_draws_of_labels_come_to():
    generator = np.random.default_rng(3)
    score = np.round(generator.beta(2, 3, 800), 2)
    found = estimate(score, Calibration.of(np.zeros(0), np.zeros(0)))
    names = ["auc", "logloss", "brier"]
    drawn = [Predictions(generator.random(800) < score, score).measure(names) for _ in range(300)]
    for name in names:
        assert found[name] == pytest.approx(np.mean([one[name] for one in drawn]), abs=0.002)


def test_a_calibration_learns_what_scores_mean():
    """Scores that are twice too high: the estimate knows, where it takes them as they are it is far off."""
    generator = np.random.default_rng(4)
    score = generator.beta(2, 3, 6000)
    label = (generator.random(6000) < score / 2).astype(float)
    learned = Calibration.of(label[:3000], score[:3000])
    truth = Predictions(label[3000:], score[3000:]).measure(["logloss", "auc"])
    found = estimate(score[3000:], learned)
    assert found["logloss"] == pytest.approx(truth["logloss"], abs=0.02)
    assert found["auc"] == pytest.approx(truth["auc"], abs=0.03)
    plain = estimate(score[3000:], Calibration.of(label[:400], score[:400]))
    assert abs(plain["auc"] - truth["auc"]) > 0.05


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Rows of a cluster share an effect; truth by many rows, intervals by 1,500 in 40 clusters."""
    generator = np.random.default_rng(0)
    names = ("auc", "logloss", "brier", "calibration_error")

    def draw(rows: int, clusters: int) -> tuple[Any, Any, Any]:
        score, shared = np.clip(generator.beta(2, 3, rows), 0.01, 0.99), generator.normal(0, 0.4, clusters)
        cluster = generator.integers(0, clusters, rows)
        chance = 1 / (1 + np.exp(-np.log(score / (1 - score)) * 0.7 - shared[cluster]))
        return (generator.random(rows) < chance).astype(float), score, np.unique(cluster, return_inverse=True)[1]

    truth = Predictions(*draw(400_000, 40_000)[:2]).measure(names)
    hits = dict.fromkeys(names, 0)
    for _ in range(150):
        predictions = Predictions(*draw(1500, 40))
        for name in names:
            one = alone(predictions, name, 0.95, (200, 0))
            hits[name] += one.low <= truth[name] <= one.high
    assert all(one >= 135 for one in hits.values()), hits
