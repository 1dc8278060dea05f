"""Quantiles and Tweedie means by trees, against XGBoost alone, and the pinball loss against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.metrics import mean_pinball_loss

from proml_kedro.errors import UserError
from proml_kedro.evaluation.metric import meaning
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import RunSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import check
from small import make_config

X = [Input("shop.x", "float")]
BASE = {
    "kind": "xgboost",
    "inputs": ["shop.x"],
    "num_boost_round": 30,
    "params": {"max_depth": 3, "learning_rate": 0.2},
}


def claims(rows=6000, far=0.0):
    """Often 0, and the larger the more x; a quantile and a mean of it differ."""
    generator = np.random.default_rng(2)
    x = generator.random(rows)
    number = generator.poisson(0.3 + x)
    amount = np.array([generator.gamma(2.0, 1 + 3 * one, count).sum() for one, count in zip(x, number, strict=True)])
    return Examples({"shop.x": x.astype(np.float32)}, amount + far)


def fit(rows, **config):
    kind = component_of("xgboost")
    component = kind(kind.Spec.model_validate({**BASE, **config}), X)
    component.fit(rows, rows, FitContext(HardwareSpec(threads=1), seed=1, final=False, task="regression"))
    return component


def script(rows, label, **params):
    x = rows.columns["shop.x"][:, None]
    params = {"max_depth": 3, "learning_rate": 0.2, "seed": 1, "nthread": 1, **params}
    return xgboost.train(params, xgboost.QuantileDMatrix(x, label), 30).inplace_predict(x)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_quantile_is_that_of_a_script_and_holds_its_share(level, tmp_path):
    rows = claims()
    component = fit(rows, objective="quantile", quantile=level)
    found = component.score(rows.columns)["mean"]
    expected = script(rows, rows.label - rows.label.mean(), objective="reg:quantileerror", quantile_alpha=level)
    assert np.abs(found - (expected + rows.label.mean())).max() < 1e-6 * np.abs(found).max()
    assert np.mean(rows.label <= found + 1e-5) >= level - 0.02
    component.save(tmp_path)
    again = type(component).load(component.spec, X, tmp_path)
    assert np.array_equal(again.score(rows.columns)["mean"], found)


def test_a_quantile_far_from_0_is_that_of_near_labels():
    near, far = (fit(rows, objective="quantile", quantile=0.9) for rows in (claims(), claims(far=1.7e9)))
    found = [one.score(claims().columns)["mean"] for one in (near, far)]
    assert np.abs(found[1] - 1.7e9 - found[0]).max() < 0.05 * found[0].std()


@pytest.mark.parametrize("power", [1.2, 1.5, 1.9])
def test_a_tweedie_mean_is_that_of_a_script(power, tmp_path):
    rows = claims()
    component = fit(rows, objective="tweedie", tweedie_power=power)
    found = component.score(rows.columns)
    expected = script(rows, rows.label, objective="reg:tweedie", tweedie_variance_power=power)
    assert np.abs(found["mean"] - expected).max() < 1e-5 * found["mean"].max()
    assert found["mean"] == pytest.approx(np.exp(found["margin"]))
    assert found["mean"].mean() == pytest.approx(rows.label.mean(), rel=0.05)
    component.save(tmp_path)
    again = type(component).load(component.spec, X, tmp_path)
    assert np.array_equal(again.score(rows.columns)["mean"], found["mean"])


def test_negative_numbers_are_no_tweedie_ones():
    with pytest.raises(UserError, match="learns numbers that are never negative, and 6,000 labels of the training"):
        fit(claims(far=-1e3), objective="tweedie")


def test_negative_numbers_to_choose_by_are_none_either():
    component = component_of("xgboost")
    trees = component(component.Spec.model_validate({**BASE, "objective": "tweedie"}), X)
    with pytest.raises(UserError, match="and 10 labels of the validation part are"):
        trees.fit(claims(), claims(10, far=-1e3), FitContext(HardwareSpec(threads=1), seed=1, task="regression"))


def run_of(component, metrics=(), task="regression"):
    config = make_config({"trees": {**BASE, "inputs": ["*"], **component}})
    config["problem"]["label"] = {"expression": "amount", "task": task}
    config["evaluation"] = {"metrics": list(metrics)}
    return RunSpec.model_validate(config)


@pytest.mark.parametrize(
    ("component", "metrics", "task", "message"),
    [
        (
            {"objective": "quantile"},
            [],
            "regression",
            "quantile 0.5, which metrics of means do not judge; write metrics",
        ),
        ({"objective": "quantile", "quantile": 0.9}, ["pinball@0.5"], "regression", "write metrics: [pinball@0.9]"),
        ({"objective": "tweedie"}, [], "count", "'tweedie' learns numbers; the label is of task 'count'"),
        ({"quantile": 0.9}, [], "regression", "is for objective 'quantile', and the objective is 'pointwise'"),
        (
            {"objective": "tweedie", "eval_metric": "quantile"},
            [],
            "regression",
            "'quantile' is not for objective 'tweedie'; there are tweedie-nloglik, rmse, mae",
        ),
        ({"objective": "tweedie", "params": {"base_score": 0.0}}, [], "regression", "must be more than 0, a mean"),
    ],
)
def test_what_does_not_fit_is_one_line(component, metrics, task, message):
    (mistake,) = check(run_of(component, metrics, task))
    assert message in mistake.message


def test_what_fits_is_no_mistake():
    assert check(run_of({"objective": "quantile", "quantile": 0.9}, ["pinball@0.9", "mae"])) == []
    assert check(run_of({"objective": "tweedie", "eval_metric": "rmse"})) == []


@pytest.mark.parametrize("name", ["pinball", "pinball@1", "pinball@0", "pinball@1.5", "pinball@x", "rmse@0.5"])
def test_a_level_is_a_share(name):
    with pytest.raises(ValueError, match=r"is no metric; write (pinball@0.9|rmse)"):
        run_of({}, [name])


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_the_pinball_loss_is_scikit_learns(level):
    generator = np.random.default_rng(0)
    label, score, weight = generator.normal(size=500), generator.normal(size=500), generator.exponential(1, 500)
    found = Predictions(label, score).measure([f"pinball@{level}"], weight)[f"pinball@{level}"]
    assert found == pytest.approx(mean_pinball_loss(label, score, sample_weight=weight, alpha=level), abs=1e-12)
    assert meaning(f"pinball@{level}") == f"mean pinball loss of the quantile {level:g}"
