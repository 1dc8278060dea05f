"""Numbers and counts: what components learn of them, how much each row counts, and settings of another task."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import ModelSpec, RunSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import check
from proml_kedro.testing import INPUTS, make_examples
from small import make_config

X = [Input("shop.x", "float")]


def fit(config, examples, task, inputs=X):
    kind = component_of(config["kind"])
    component = kind(kind.Spec.model_validate({**config, "inputs": [one.name for one in inputs]}), inputs)
    component.fit(examples, examples, FitContext(HardwareSpec(threads=1), seed=1, final=False, task=task))
    return component


def straight(rows=4000, seed=0, weight=None):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, rows)
    labels = {
        "regression": 100 + 30 * x + generator.normal(0, 5, rows),
        "count": generator.poisson(np.exp(0.5 + 0.7 * x)),
        "binary": generator.random(rows) < 1 / (1 + np.exp(-(0.5 + 0.7 * x))),
    }
    return {
        task: Examples({"shop.x": x.astype(np.float32)}, label.astype(np.float32), weight)
        for task, label in labels.items()
    }


AT = {"shop.x": np.array([-1.0, 0.0, 2.0], np.float32)}
TRUE = {
    "regression": [70.0, 100.0, 160.0],
    "count": np.exp([-0.2, 0.5, 1.9]),
    "binary": 1 / (1 + np.exp([0.2, -0.5, -1.9])),
}


@pytest.mark.parametrize("task", sorted(TRUE))
def test_a_linear_model_finds_the_line(task):
    component = fit({"kind": "linear"}, straight(40_000)[task], task)
    scores = component.score(AT)
    score = scores["probability" if task == "binary" else "mean"]
    assert score == pytest.approx(TRUE[task], rel=0.04)
    if task == "count":
        assert scores["margin"] == pytest.approx(np.log(score))


@pytest.mark.parametrize("task", sorted(TRUE))
def test_trees_find_the_mean(task):
    component = fit(
        {"kind": "xgboost", "num_boost_round": 60, "params": {"max_depth": 3}}, straight(40_000)[task], task
    )
    score = component.score(AT)["probability" if task == "binary" else "mean"]
    assert score == pytest.approx(TRUE[task], rel=0.25)
    assert score[0] < score[1] < score[2]


@pytest.mark.parametrize("task", sorted(TRUE))
def test_a_row_of_weight_three_is_the_row_three_times(task):
    rows = straight(500, seed=3)[task]
    weight = np.random.default_rng(4).integers(0, 4, 500)
    weighted = Examples(rows.columns, rows.label, weight.astype(np.float32))
    repeated = rows.take(np.repeat(np.arange(500), weight))
    for config in ({"kind": "linear", "penalty": 3.0}, {"kind": "xgboost", "params": {"max_bin": 512, "gamma": 0.1}}):
        one, other = (fit(config, examples, task).score(AT)["margin"] for examples in (weighted, repeated))
        # The linear model standardises by rows, trees look for splits between quantiles of rows: not quite the same.
        scale = 30.0 if task == "regression" else 1.0
        assert np.abs(one - other).max() < 0.05 * scale, config["kind"]


def test_the_penalty_of_a_linear_model_means_the_same_whatever_the_unit_of_the_label():
    rows = straight(300)["regression"]
    metres, millimetres = (
        fit({"kind": "linear", "penalty": 50.0}, Examples(rows.columns, rows.label * unit), "regression").score(AT)[
            "mean"
        ]
        for unit in (1, 1000)
    )
    assert millimetres == pytest.approx(metres * 1000, rel=1e-5)
    assert abs(metres[2] - metres[1]) < 58, "it shrinks"


@pytest.mark.parametrize("task", ["regression", "count"])
def test_components_of_such_a_model_feed_each_other_and_come_back(task, tmp_path):
    trees = {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 20}
    final = {"kind": "linear", "inputs": ["trees.margin", "shop.city"]}
    spec = ModelSpec(name="m", components={"trees": trees, "final": final}, score="final")
    dtypes = {one.name: one.dtype for one in INPUTS}
    train, validation, fresh = (make_examples(rows, rows, INPUTS, task) for rows in (900, 300, 400))
    graph = ModelGraph(spec, dtypes, task)
    graph.fit(train, validation, FitContext(HardwareSpec(threads=1), seed=1, task=task))
    score = graph.score(fresh.columns)
    assert np.corrcoef(score, fresh.label)[0, 1] > 0.5
    graph.save(tmp_path)
    assert np.allclose(ModelGraph.load(spec, dtypes, tmp_path, task).score(fresh.columns), score, atol=1e-6)


def run_of(task, component):
    config = make_config({"trees": {"kind": "xgboost", "inputs": ["*"], **component}})
    config["problem"]["label"] = {"expression": "amount" if task != "binary" else "amount > 0", "task": task}
    return RunSpec.model_validate(config)


@pytest.mark.parametrize(
    ("task", "component", "key", "message"),
    [
        ("count", {"eval_metric": "auc"}, "eval_metric", "'auc' is not for a label of task 'count'; there are poisson"),
        ("binary", {"eval_metric": "rmse"}, "eval_metric", "'rmse' is not for a label of task 'binary'; there are log"),
        ("regression", {"params": {"scale_pos_weight": 3}}, "params.scale_pos_weight", "is for truth values"),
        ("binary", {"params": {"base_score": 3}}, "params.base_score", "must be between 0 and 1, a probability, not 3"),
        ("count", {"params": {"base_score": -1}}, "params.base_score", "must be more than 0, a mean of counts, not -1"),
    ],
)
def test_settings_of_another_task_are_mistakes(task, component, key, message):
    (mistake,) = check(run_of(task, component))
    assert mistake.key == f"model.components.trees.{key}"
    assert message in mistake.message


def test_settings_that_fit_are_none():
    assert check(run_of("regression", {"eval_metric": "mae", "params": {"base_score": -5.0}})) == []
    assert check(run_of("count", {"params": {"base_score": 2.5}})) == []


def test_a_kind_that_cannot_learn_the_task_says_which_it_can():
    config = make_config({"line": {"kind": "logistic", "inputs": ["*"]}})
    config["problem"]["label"] = {"expression": "amount", "task": "regression"}
    (mistake,) = check(RunSpec.model_validate(config))
    assert mistake.key == "model.components.line.kind"
    assert mistake.message == "kind 'logistic' learns tasks of these sorts: binary; the problem's label is 'regression'"
