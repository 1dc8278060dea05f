"""What is wrong with a producer in a model is one line with its key, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proml_kedro.spec.run import RunSpec, check
from small import make_config

TREES = {"kind": "xgboost", "inputs": ["visit.price", "made.*"]}


def mistakes(made: dict[str, Any], **others: Any) -> list[str]:
    components = {"made": made, **others, "trees": TREES}
    try:
        run = RunSpec.model_validate(make_config({"trees": {"kind": "xgboost", "inputs": ["*"]}}))
        config = run.model_dump(mode="json")
        config["model"]["components"] = components
        return [f"{one.key}: {one.message}" for one in check(RunSpec.model_validate(config))]
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            {"kind": "expression", "expression": "visit.prise * 2"},
            "made.expression: no feature or output 'visit.prise'",
        ),
        ({"kind": "expression", "expression": "visit.price *"}, "a value is missing before the end"),
        ({"kind": "expression", "expression": "1 + 1"}, "names no feature or output"),
        (
            {"kind": "expression", "expression": "visit.city + 1"},
            "made.expression: '+' takes numbers, and 'visit.city'",
        ),
        ({"kind": "expression", "expression": "lower(visit.city)"}, "made.expression: is text, and dtype float"),
        (
            {"kind": "expression", "expression": "log + log.value"},
            "made.expression: 'log' and 'log.value' are the same",
        ),
        ({"kind": "expression", "expression": "visit.price", "of": ["visit.items"]}, "is read from the expression"),
        (
            {"kind": "expression", "expression": "dot(visit.price, visit.price)"},
            "'dot' takes vectors, and 'visit.price'",
        ),
        ({"kind": "difference", "of": ["visit.price"]}, "made.of: 'difference' is a function of 2, not of 1"),
        ({"kind": "difference", "of": ["visit.price", "visit.city"]}, "made.of.1: 'visit.city' is a category"),
        ({"kind": "dot", "of": ["visit.price", "visit.items"]}, "made.of.0: 'visit.price' is a float"),
        ({"kind": "cross", "of": "visit.city"}, "made.of: 'cross' combines two categories or more, not 1"),
        ({"kind": "cross", "of": ["visit.city", "visit.price"]}, "made.of.1: 'visit.price' is a float"),
        ({"kind": "clip", "of": "visit.price"}, "clip needs low, high or both"),
        ({"kind": "clip", "of": "visit.price", "low": 2, "high": 1}, "low is 2, above high: 1"),
        ({"kind": "clip", "of": "visit.price", "low": float("nan")}, "finite number"),
        ({"kind": "date_part", "of": "visit.city"}, "part: Field required"),
        ({"kind": "date_part", "of": "visit.city", "part": "houre"}, "'hour'"),
        ({"kind": "date_part", "of": "visit.price", "part": "hour"}, "made.of.0: 'visit.price' is a float"),
        ({"kind": "date_part", "of": "visit.city", "part": "hour", "timezone": "Mars"}, "'Mars' is no time zone"),
        ({"kind": "time_since", "of": ["visit.city", "visit.city"]}, "made.of: 'time_since' is a function of 2"),
        ({"kind": "time_since", "of": ["visit.city", "shop"], "unit": "weeks"}, "'days'"),
        ({"kind": "text_overlap", "of": ["visit.city", "visit.price"]}, "made.of.1: 'visit.price' is a float"),
        ({"kind": "tfidf_similarity", "inputs": ["visit.city"]}, "made.inputs: 'tfidf_similarity' compares two texts"),
        (
            {"kind": "blend", "inputs": ["visit.price"]},
            "made.inputs: 'visit.price' is no margin; blend averages outputs",
        ),
        ({"kind": "blend", "inputs": ["other.margin"], "weights": [1, 2]}, "made.weights: there are 2 weights of 1"),
        ({"kind": "target_statistics", "inputs": ["visit.price"]}, "made.inputs.0: 'visit.price' is a float"),
        ({"kind": "target_statistics", "inputs": ["shop"], "smoothing": 0}, "greater than 0"),
        ({"kind": "target_statistics", "inputs": ["trees.leaf"]}, "no feature or output 'trees.leaf'"),
        (
            {"kind": "expression", "expression": "trees.margin"},
            "components need each other in a circle: made -> trees -> made",
        ),
    ],
    ids=str,
)
def test_one_line_each(made: dict[str, Any], line: str) -> None:
    other = {"kind": "linear", "inputs": ["visit.price"]}
    found = mistakes(made, other=other, log={"kind": "log1p", "of": "visit.price"})
    assert len(found) == 1, found
    assert line in found[0]
    assert "\n" not in found[0]


def test_a_sound_one_has_none_and_comes_back_from_json() -> None:
    made = {"kind": "expression", "expression": "coalesce(log, 0) + case when shop = '7' then 1 else 0 end"}
    assert mistakes(made, log={"kind": "log1p", "of": "visit.price"}) == []
    run = RunSpec.model_validate(
        make_config({"made": made, "log": {"kind": "log1p", "of": "visit.price"}, "trees": TREES})
    )
    again = RunSpec.model_validate(run.model_dump(mode="json"))
    assert again.model.components["made"].inputs == ["log", "shop"]
