"""Trees that learn an order within groups."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.xgboost.component import XGBoost
from proml_kedro.models.xgboost.ranking import Calibration, by_group, weight_of_groups
from proml_kedro.models.xgboost.spec import XGBoostSpec
from proml_kedro.spec import RunSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import check
from small import make_config

INPUTS = [Input("shop.x", "float"), Input("shop.mood", "float")]


def lists(count=1500, seed=0, shuffle=True):
    """Groups of six; who clicks more says nothing about what is clicked, and hides it from a pointwise model."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(count), 6)
    mood = generator.normal(0, 3, count)[group]
    x = generator.normal(0, 1, len(group))
    label = (generator.random(len(group)) < 1 / (1 + np.exp(1 - mood - 0.8 * x))).astype(np.float32)
    order = generator.permutation(len(group)) if shuffle else np.arange(len(group))
    columns = {"shop.x": x.astype(np.float32), "shop.mood": mood.astype(np.float32)}
    return Examples(columns, label, group=group.astype(np.int64)).take(order)


def fit(objective, train, validation, **config):
    config = {"kind": "xgboost", "inputs": [one.name for one in INPUTS], "num_boost_round": 60, **config}
    component = XGBoost(XGBoostSpec.model_validate({"objective": objective, **config}), INPUTS)
    component.fit(train, validation, FitContext(HardwareSpec(threads=1), seed=1, final=False))
    return component


def within(component, examples):
    ranked = Rankings(examples.label, component.score(examples.columns)["margin"], examples.group)
    return ranked.measure(["group_auc"])["group_auc"]


@pytest.mark.parametrize("objective", ["pairwise", "listwise"])
def test_an_order_is_learned_and_a_probability_comes_with_it(objective, tmp_path):
    train, validation, fresh = lists(seed=1), lists(400, seed=2), lists(600, seed=3)
    component = fit(objective, train, validation, early_stopping_rounds=10)
    truth = Rankings(fresh.label, fresh.columns["shop.x"], fresh.group).measure(["group_auc"])["group_auc"]
    assert within(component, fresh) > truth - 0.03
    scores = component.score(fresh.columns)
    assert (np.diff(scores["probability"][np.argsort(scores["margin"])]) >= 0).all(), "the order is the margin's"
    assert scores["probability"].mean() == pytest.approx(fresh.label.mean(), abs=0.05)
    component.save(tmp_path)
    loaded = XGBoost.load(component.spec, INPUTS, tmp_path).score(fresh.columns)
    assert all(np.allclose(loaded[name], values, atol=1e-6) for name, values in scores.items())


def test_rows_may_come_in_any_order():
    one, other = (fit("pairwise", lists(shuffle=shuffle), lists(200, 2)) for shuffle in (False, True))
    assert within(one, lists(400, 3)) == pytest.approx(within(other, lists(400, 3)), abs=0.01)


def test_a_group_of_no_weight_is_not_learned_from():
    train, wrong = lists(seed=1), lists(seed=4)
    wrong = Examples(wrong.columns, 1 - wrong.label, np.zeros(len(wrong), np.float32), wrong.group)
    weighted = Examples(train.columns, train.label, np.ones(len(train), np.float32), train.group)
    found = within(fit("pairwise", weighted.join(wrong), lists(200, 2)), lists(400, 3))
    assert found == pytest.approx(within(fit("pairwise", train, lists(200, 2)), lists(400, 3)), abs=0.02)


def test_groups_are_brought_together_with_one_weight_each():
    values = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
    together = by_group(Examples({"x": values}, values, values + 1, np.array([5, 3, 5, 3])))
    assert together.group.tolist() == [3, 3, 5, 5]
    assert together.columns["x"].tolist() == [1.0, 3.0, 0.0, 2.0]
    assert weight_of_groups(together).tolist() == [3.0, 2.0]
    kept = by_group(Examples({"x": values}, values, values, np.array([5, 3, 5, 3])))
    assert kept.columns["x"].tolist() == [1.0, 3.0, 2.0], "a row of weight 0 is as if it were not there"
    assert weight_of_groups(kept).tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="the examples have none"):
        by_group(Examples({"x": values}, values))


def test_the_calibration_is_the_likeliest_one():
    generator = np.random.default_rng(0)
    margin = generator.normal(5, 3, 20_000)
    label = (generator.random(20_000) < 1 / (1 + np.exp(4 - 0.5 * margin))).astype(float)
    found = Calibration.of(margin, label)
    assert (found.slope, found.offset) == pytest.approx((0.5, -4), rel=0.06)
    weight = generator.integers(0, 4, len(label))
    again = Calibration.of(np.repeat(margin, weight), np.repeat(label, weight))
    assert vars(Calibration.of(margin, label, weight)) == pytest.approx(vars(again), rel=1e-9)
    assert np.isfinite(Calibration.of(margin, (margin > 5).astype(float)).slope)
    assert Calibration.of(margin, np.ones(20_000)) == Calibration()


@pytest.mark.parametrize(
    ("problem", "component", "key", "message"),
    [
        (
            {},
            {"objective": "pairwise"},
            "objective",
            "'pairwise' learns the order within groups and needs problem.exam",
        ),
        ({"group": "visit"}, {"objective": "listwise", "eval_metric": "logloss"}, "eval_metric", "there are ndcg, map"),
        ({"group": "visit"}, {"eval_metric": "ndcg"}, "eval_metric", "'ndcg' is not for a label of task 'binary'"),
    ],
)
def test_mistakes(problem, component, key, message):
    config = make_config({"trees": {"kind": "xgboost", "inputs": ["*"], **component}})
    config["problem"]["examples"] |= problem
    (mistake,) = check(RunSpec.model_validate(config))
    assert mistake.key == f"model.components.trees.{key}"
    assert message in mistake.message
