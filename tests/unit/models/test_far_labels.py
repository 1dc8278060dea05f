"""Labels that single precision rounds, such as seconds since 1970: what is learned of them is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proml_kedro.bundle.golden import compare
from proml_kedro.bundle.integrity import IntegrityError
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.kinds import component_of
from proml_kedro.models.mixed.memory.problem import hash_rows
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.spec.hardware import HardwareSpec

FAR = 1_700_000_000.0
X, GIVEN, SHOP = Input("shop.x", "float"), Input("trees.mean", "float"), Input("shop", "str")
MIXED = {
    "kind": "mixed",
    "fixed": ["shop.x"],
    "random_effects": [{"entity": "shop", "features": ["intercept", "shop.x"]}],
    "penalty": 0,
}
KINDS = {
    "trees": ({"kind": "xgboost", "num_boost_round": 60}, [X], 10.0),
    "trees from a number": ({"kind": "xgboost", "num_boost_round": 60, "params": {"base_score": FAR + 10}}, [X], 10.0),
    "mixed": (MIXED, [X, SHOP], 0.1),
    "mixed, streamed": ({**MIXED, "engine": "streamed"}, [X, SHOP], 0.1),
    "after trees": ({**MIXED, "offset": "trees.mean"}, [X, SHOP, GIVEN], 0.1),
    "after trees, streamed": ({**MIXED, "offset": "trees.mean", "engine": "streamed"}, [X, SHOP, GIVEN], 0.1),
}


def seconds(rows=300):
    x = np.arange(rows, dtype=np.float64)
    columns = {
        "shop.x": x.astype(np.float32),
        "shop": np.array([f"s{row % 3}" for row in range(rows)], object),
        "trees.mean": FAR + 0.9 * x,
    }
    return Examples(columns, FAR + x, np.where(np.arange(rows) % 2, 1.0, 2.0))


def fit(config, inputs, examples, final=False):
    kind = component_of(config["kind"])
    component = kind(kind.Spec.model_validate({**config, "inputs": [one.name for one in inputs]}), inputs)
    context = FitContext(HardwareSpec(threads=1), seed=1, final=final, task="regression")
    component.fit(examples, examples, context)
    return component


def rmse(examples, scores):
    return Predictions(examples.label, scores).measure(["rmse"])["rmse"]


def test_a_line_is_found_to_the_last_digit():
    examples = seconds()
    scores = fit({"kind": "linear", "penalty": 1e-9}, [X], examples).score(examples.columns)["mean"]
    assert rmse(examples, scores) < 5e-6


@pytest.mark.parametrize("name", sorted(KINDS))
def test_components_learn_them_like_labels_near_0(name, tmp_path):
    config, inputs, most = KINDS[name]
    examples = seconds()
    component = fit(config, inputs, examples)
    scores = component.score(examples.columns)["mean"]
    assert rmse(examples, scores) < most, "the labels lie 300 apart"
    near = replace(
        examples,
        label=examples.label - FAR,
        columns={**examples.columns, "trees.mean": examples.columns["trees.mean"] - FAR},
    )
    if "params" not in config:
        assert scores - FAR == pytest.approx(fit(config, inputs, near).score(near.columns)["mean"], abs=1e-2)
    component.save(tmp_path)
    again = type(component).load(component.spec, inputs, tmp_path)
    assert again.score(examples.columns)["mean"] == pytest.approx(scores, rel=1e-12)


def test_trees_that_are_refitted_start_from_both_periods():
    examples = seconds()
    config = {"kind": "xgboost", "num_boost_round": 40, "early_stopping_rounds": 5}
    kind = component_of("xgboost")
    component = kind(kind.Spec.model_validate({**config, "inputs": ["shop.x"]}), [X])
    late = replace(examples, label=examples.label + 1e6, weight=None)
    context = FitContext(HardwareSpec(threads=1), seed=1, task="regression")
    component.fit(replace(examples, weight=None), late, context)
    scores = component.score(examples.columns)["mean"]
    assert scores.mean() == pytest.approx(FAR + 5e5 + 149.5, abs=10)


def test_rows_whose_label_changes_a_little_are_other_rows():
    examples = seconds(4)
    spec = component_of("mixed").Spec.model_validate({**MIXED, "inputs": ["shop.x", "shop"]})
    terms = Terms(spec, [X, SHOP])
    terms.learn(examples.columns, np.ones(4), None)
    before, after = (
        hash_rows(terms, examples.columns, label, np.ones(4)) for label in (examples.label, examples.label + 1)
    )
    assert (before != after).all()


def test_golden_rows_of_numbers_are_held_to_their_spread(tmp_path):
    expected = FAR + np.arange(20.0)
    compare(tmp_path, expected + 1e-6, expected, 1e-6, "regression")
    with pytest.raises(IntegrityError, match="20 of 20 golden rows"):
        compare(tmp_path, expected + 1e-3, expected, 1e-6, "regression")
    compare(tmp_path, np.array([1e9 + 1]), np.array([1e9]), 1e-6, "count")
