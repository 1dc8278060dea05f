"""One of several classes: equal to scikit-learn's and XGBoost's own, with probabilities that always sum to 1."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import ModelSpec, RunSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import check
from proml_kedro.testing import INPUTS, make_examples
from small import make_config

NUMBERS = [Input("shop.x", "float"), Input("shop.y", "float")]


def clouds(rows=900, classes=4, seed=0, weight=None):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, classes, rows)
    angle = 2 * np.pi * label / classes
    x, y = np.cos(angle) + generator.normal(0, 0.8, rows), np.sin(angle) + generator.normal(0, 0.8, rows)
    columns = {"shop.x": x.astype(np.float32), "shop.y": y.astype(np.float32)}
    return Examples(columns, label.astype(np.float64), weight)


def fit(config, examples, classes, final=False):
    kind = component_of(config["kind"])
    component = kind(kind.Spec.model_validate({**config, "inputs": [one.name for one in NUMBERS]}), NUMBERS)
    context = FitContext(HardwareSpec(threads=1), seed=1, final=final, task="multiclass", classes=classes)
    component.fit(examples, examples, context)
    return component


def matrix(examples):
    return np.column_stack([examples.columns[one.name] for one in NUMBERS])


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_model_is_scikit_learns_logistic_regression(classes, weighted):
    weight = np.random.default_rng(9).integers(1, 4, 900).astype(np.float64) if weighted else None
    rows = clouds(classes=classes, weight=weight)
    found = fit({"kind": "linear", "penalty": 0.5}, rows, classes).score(rows.columns)["probabilities"]
    given = matrix(rows).astype(np.float64)
    numbers = StandardScaler().fit(given, sample_weight=weight).transform(given)  # weight 2 is the row twice
    model = LogisticRegression(C=2.0, max_iter=500).fit(numbers, rows.label, weight)
    # Both stop when the gradient is below 1e-4; the columns for missing values, all 0, change the order of sums.
    assert np.abs(found - model.predict_proba(numbers)).max() < 1e-6


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_trees_are_those_of_a_script(classes):
    rows = clouds(classes=classes, weight=np.random.default_rng(9).exponential(1, 900))
    config = {"kind": "xgboost", "num_boost_round": 25, "params": {"max_depth": 3, "learning_rate": 0.3}}
    found = fit(config, rows, classes).score(rows.columns)["probabilities"]
    data = xgboost.QuantileDMatrix(matrix(rows), rows.label, weight=rows.weight)
    params = {"objective": "multi:softprob", "num_class": classes, "max_depth": 3, "learning_rate": 0.3, "seed": 1}
    script = xgboost.train({**params, "nthread": 1}, data, 25)
    assert np.abs(found - script.inplace_predict(matrix(rows))).max() < 1e-6


@pytest.mark.parametrize("kind", ["linear", "xgboost"])
def test_probabilities_sum_to_one_on_whatever_comes(kind, tmp_path):
    spec = ModelSpec(name="m", components={"one": {"kind": kind, "inputs": ["*"]}}, score="one")
    dtypes = {one.name: one.dtype for one in INPUTS}
    train, validation = (make_examples(rows, rows, INPUTS, "multiclass") for rows in (600, 300))
    graph = ModelGraph(spec, dtypes, "multiclass")
    graph.fit(train, validation, FitContext(HardwareSpec(threads=1), seed=1, classes=3))
    nothing = [np.nan, 1e30, -1e30, 3.0]
    odd = {
        "shop.price": np.array(nothing, np.float32),
        "shop.visits": np.array(nothing[::-1], np.float32),
        "shop.city": np.array([None, "nowhere", "", "Bern"], object),
    }
    found = graph.score(odd)
    assert found.shape == (4, 3)
    assert (found >= 0).all()
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-6
    graph.save(tmp_path)
    again = ModelGraph.load(spec, dtypes, tmp_path, "multiclass")
    assert np.array_equal(again.score(odd), found)
    assert list(again.summary()["one"])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_constant_says_the_shares_of_classes(weighted, tmp_path):
    weight = np.random.default_rng(9).exponential(1, 900) if weighted else None
    rows = clouds(weight=weight)
    component = fit({"kind": "constant"}, rows, 4)
    counted = np.ones(900) if weight is None else weight
    shares = [counted[rows.label == one].sum() / counted.sum() for one in range(4)]
    found = component.score(rows.columns)["probabilities"]
    assert found == pytest.approx(np.tile(shares, (900, 1)), abs=1e-12)
    component.save(tmp_path)
    again = type(component).load(component.spec, NUMBERS, tmp_path)
    assert np.array_equal(again.score(rows.columns)["probabilities"], found)


DEEP = {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [4]}}


def run_of(components, **label):
    config = make_config(components)
    config["problem"]["label"] = {"expression": "city", "task": "multiclass", **label}
    return RunSpec.model_validate(config)


@pytest.mark.parametrize(
    ("components", "key", "message"),
    [
        ({"one": {"kind": "logistic", "inputs": ["*"]}}, "components.one.kind", "the problem's label is 'multiclass'"),
        (
            {"one": {"kind": "mixed", "inputs": ["shop"], "random_effects": [{"entity": "shop"}]}},
            "components.one.kind",
            "kind 'mixed' learns tasks of these sorts: binary, count, regression; the problem's label is 'multiclass'",
        ),
        (
            {"one": {"kind": "deep", "inputs": ["*"], "graph": DEEP, "head": {"of": "deep"}}},
            "components.one.kind",
            "kind 'deep' learns tasks of these sorts: binary, count, regression; the problem's label is 'multiclass'",
        ),
        (
            {"one": {"kind": "xgboost", "inputs": ["*"], "eval_metric": "rmse"}},
            "components.one.eval_metric",
            "'rmse' is not for a label of task 'multiclass'; there are mlogloss, merror, auc",
        ),
        (
            {"one": {"kind": "xgboost", "inputs": ["*"], "params": {"base_score": 0.5}}},
            "components.one.params.base_score",
            "means nothing where there are several classes",
        ),
        (
            {
                "trees": {"kind": "xgboost", "inputs": ["*"]},
                "one": {"kind": "linear", "inputs": ["trees.probabilities"]},
            },
            "components.one.inputs.0",
            "'trees.probabilities' is a number of each class, which kind 'linear' cannot read; leave it out",
        ),
    ],
)
def test_what_cannot_learn_classes_says_so_in_one_line(components, key, message):
    (mistake,) = check(run_of(components))
    assert mistake.key == f"model.{key}"
    assert message in mistake.message


def test_metrics_of_an_order_are_for_classes_that_have_one():
    config = make_config()
    config["problem"]["label"] = {"expression": "city", "task": "multiclass", "classes": ["a", "b"]}
    config["evaluation"] = {"metrics": ["quadratic_kappa"]}
    (mistake,) = check(RunSpec.model_validate(config))
    assert "is for classes that have an order; write label.classes and label.ordered: true" in mistake.message
    config["problem"]["label"]["ordered"] = True
    run = RunSpec.model_validate(config)
    assert check(run) == []
    assert run.evaluation.model_copy(update={"metrics": []}).metrics_for("multiclass", True)[-3:] == (
        "class_distance",
        "quadratic_kappa",
        "calibration_error",
    )
