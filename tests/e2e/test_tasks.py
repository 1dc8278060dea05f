"""`kedro run` on numbers, counts and orders: YAML only, from tables to a service that was proved."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What a visit costs, and how many times its visitor asks, as far as the tables of the shop can say.
LABELS = {
    "regression": "10 - 6 * pages + 40 * ordered",
    "count": "pages // 5 + 2 * ordered",
}
BEST = {"regression": ("rmse", "r2", 0.5), "count": ("poisson_deviance", "rmse", None)}


@pytest.mark.parametrize("task", sorted(LABELS))
def test_a_problem_of_numbers_needs_yaml_only(shop, task):
    shop.edit("conf/problem/shop.yaml", "{expression: ordered = 1}", f'{{expression: "{LABELS[task]}", task: {task}}}')
    shop.edit("conf/problem/shop.yaml", "timestamp: at", "timestamp: at\n  weight: 1 + ordered")
    done = shop.run("monitoring.current.last=3w")
    assert done.returncode == 0, done.stderr
    first, second, at_least = BEST[task]
    metrics = json.loads((shop.result("evaluation") / "metrics.json").read_text())
    assert next(iter(metrics["candidate"])) == first
    assert (metrics["task"], metrics["positive_rate"], metrics["baseline_name"]) == (task, None, "linear")
    assert at_least is None or metrics["candidate"][second] > at_least
    assert metrics["candidate"]["calibration_error"] < 0.3 * abs(metrics["label_mean"])
    for words in (first, "linear", "xgboost is ", "Drift verdict"):
        assert words in done.stdout, words
    report = (shop.result("evaluation") / "report.md").read_text()
    assert "whose mean label is" in report
    for plot in ("calibration", "scores", "weeks", "importance"):
        assert (shop.result("evaluation") / f"{plot}.png").stat().st_size > 5000
    _check_bundle(shop.result("bundle"), task)
    drift = json.loads((shop.result("drift") / "drift.json").read_text())
    score = next(one for one in drift["columns"] if one["name"] == "score")
    assert score["psi"] is not None, "the score is watched whatever it is"


def _check_bundle(bundle: Path, task: str) -> None:
    card = (bundle / "card.md").read_text()
    assert f"The mean of a {'count' if task == 'count' else 'number'}: " in card
    assert "| mean label |" in card
    golden = pq.read_table(bundle / "golden.parquet")
    assert "probability" not in golden.column_names
    assert max(golden["mean"].to_pylist()) > 2
    assert yaml.safe_load((bundle / "proml.yaml").read_text())["score"] == "trees.mean"


def test_metrics_of_another_task_are_one_line(shop):
    shop.edit("conf/problem/shop.yaml", "{expression: ordered = 1}", "{expression: pages, task: count}")
    done = shop.run("evaluation.metrics=[auc]")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "override 'evaluation.metrics=[auc]': evaluation.metrics.0: 'auc' is not for a label of task 'count'; "
        "there are poisson_deviance, rmse, pinball, mae, r2, calibration_error"
    ]


def test_orders_are_judged_by_whatever_makes_a_group(shop):
    done = shop.run(
        "--pipelines=features,train,evaluate",
        "evaluation.ranking.within=customer",
        "evaluation.ranking.metrics=[ndcg@5,recall@3,group_auc]",
        "evaluation.compare.cluster_by=customer",
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((shop.result("evaluation") / "metrics.json").read_text())
    assert list(metrics["candidate"])[-3:] == ["ndcg@5", "recall@3", "group_auc"]
    assert metrics["ranking"]["groups"] == 80
    assert metrics["ranking"]["drawn_by"] == "customer"
    assert 0.5 < metrics["candidate"]["group_auc"] < 1
    assert metrics["differences"]["group_auc"]["low"] < metrics["differences"]["group_auc"]["high"]
    assert "Ranked within customer: " in done.stdout
