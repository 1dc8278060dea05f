"""Margins averaged, by segment too, against a loop over rows."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.models.component import FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import HardwareSpec, ModelSpec, RunSpec
from proml_kedro.spec.run import check
from proml_kedro.testing import INPUTS, make_examples
from small import make_config

MARGINS = [Input(f"{name}.margin", "float") for name in ("a", "b", "c")]
CITY = Input("shop.city", "str")


def blend(inputs, **config):
    kind = component_of("blend")
    declared = {"kind": "blend", "inputs": [one.name for one in inputs], **config}
    return kind(kind.Spec.model_validate(declared), inputs)


@pytest.mark.parametrize("weights", [None, [2, 1, 1]])
def test_each_segment_has_its_weights(weights):
    segments = {"Bern": [1, 2, 3], "Lima": [0, 0, 5]}
    generator = np.random.default_rng(1)
    columns = {one.name: generator.normal(size=200) for one in MARGINS}
    columns["shop.city"] = generator.choice(np.array(["Bern", "Lima", "Oslo", None], object), 200)
    inputs = [MARGINS[0], CITY, *MARGINS[1:]]  # the category stands anywhere
    found = blend(inputs, by="shop.city", segments=segments, weights=weights).score(columns)
    for row in range(200):
        counts = segments.get(columns["shop.city"][row], weights or [1, 1, 1])
        wanted = sum(w * columns[one.name][row] for w, one in zip(counts, MARGINS, strict=True)) / sum(counts)
        assert found["margin"][row] == pytest.approx(wanted, abs=1e-15)
        assert found["probability"][row] == pytest.approx(1 / (1 + np.exp(-wanted)), abs=1e-15)


def test_a_margin_that_does_not_count_may_be_missing():
    columns = {one.name: np.array([1.0, np.nan]) for one in MARGINS}
    columns["c.margin"] = np.array([3.0, 3.0])
    columns["shop.city"] = np.array(["Lima", "Lima"], object)
    found = blend([*MARGINS, CITY], by="shop.city", segments={"Lima": [0, 0, 1]}).score(columns)
    assert found["margin"].tolist() == [3, 3]


def test_a_graph_blends_by_segment():
    line = {"kind": "logistic", "inputs": ["shop.price"]}
    every = {"kind": "logistic", "inputs": ["shop.*"]}
    last = {"kind": "blend", "inputs": ["line.margin", "every.margin", "shop.city"], "by": "shop.city"}
    components = {"line": line, "every": every, "last": {**last, "segments": {"Oslo": [0, 1], "Bern": [1, 0]}}}
    graph = ModelGraph(
        ModelSpec(name="m", components=components, score="last"), {one.name: one.dtype for one in INPUTS}
    )
    graph.fit(make_examples(300, 1), make_examples(100, 2), FitContext(HardwareSpec(threads=1), seed=1))
    columns = make_examples(100, 3).columns
    made = graph.outputs(columns)
    for city, name in (("Oslo", "every"), ("Bern", "line")):
        rows = columns["shop.city"] == city
        assert rows.any()
        assert np.allclose(made["last.margin"][rows], made[f"{name}.margin"][rows], atol=1e-15)
    other = columns["shop.city"] == "Lima"
    assert np.allclose(made["last.margin"][other], (made["line.margin"] + made["every.margin"])[other] / 2)


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"by": "visit.city"}, "segments", "by and segments go together"),
        ({"inputs": ["trees.margin"], "segments": {"Bern": [1]}}, "segments", "by and segments go together"),
        (
            {"inputs": ["trees.margin"], "by": "visit.shop", "segments": {"Bern": [1]}},
            "by",
            "'visit.shop' is not one of inputs",
        ),
        ({"by": "visit.city", "segments": {"Bern": [1, 2]}}, "segments.Bern", "there are 2 weights of 1 margins"),
        ({"by": "visit.city", "segments": {"Bern": [0]}}, "segments.Bern", "all weights are 0"),
        ({"inputs": ["visit.city"], "by": "visit.city", "segments": {"Bern": [1]}}, "inputs", "there is no margin"),
        ({"inputs": ["trees.margin", "visit.price"], "by": "visit.price", "segments": {"1": [1]}}, "by", "no category"),
        ({"inputs": ["trees.margin", "visit.city"]}, "inputs", "'visit.city' is no margin"),
    ],
)
def test_mistakes(config, key, message):
    last = {"kind": "blend", "inputs": ["trees.margin", "visit.city"], **config}
    made = make_config({"trees": {"kind": "xgboost", "inputs": ["visit.*"]}, "last": last})
    found = {one.key: one.message for one in check(RunSpec.model_validate(made))}
    assert message in found[f"model.components.last.{key}"]
