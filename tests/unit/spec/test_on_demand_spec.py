"""What is wrong with an on-demand feature is said when the configuration is read."""

from __future__ import annotations

import copy

import pytest
from pydantic import ValidationError

from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.on_demand import bases, check_on_demand
from proml_kedro.spec.run import RunSpec, check
from shop import FEATURES
from small import make_config


def declared(**expressions: str) -> FeaturesSpec:
    views = copy.deepcopy(FEATURES)
    features = {name: {"dtype": "float", "expression": text} for name, text in expressions.items()}
    views["gaps"] = {"source": "on_demand", "features": features}
    return FeaturesSpec.model_validate(views)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("price.prise * 2", "no feature 'price.prise'. Did you mean 'price.price'?"),
        ("price", "no feature 'price'. Did you mean 'price.price'?"),
        ("price.label + 1", "'+' takes numbers, and 'price.label' is text"),
        ("price.label", "is text, and dtype float is a number"),
        ("price.price > 1", "is true or false, and dtype float is a number; write case when … then 1 else 0 end"),
        ("price.price +", "a value is missing before the end"),
        ("price.price price.price", "an operator is missing before 'price.price'"),
        ("price.price ? 1", "cannot read '? 1'"),
        ("sqroot(price.price)", "no function 'sqroot'. Did you mean 'sqrt'?"),
        ("ln(price.price, 2)", "ln takes 1 value, not 2"),
        ("coalesce(price.price, price.label)", "'coalesce' takes values of one sort, not a number and text"),
        (
            "cosine_similarity(price.price, price.price)",
            "'cosine_similarity' takes vectors, and 'price.price'",
        ),
        ("date_part('houre', price.label)", "the first value of 'date_part' is one of 'year', "),
        ("time_since(price.label, price.label, price.label)", "the first value of 'time_since' is one of 'seconds', "),
        ("date_part('hour', price.price)", "'date_part' takes text, and 'price.price' is a number"),
        ("(" * 150 + "1" + ")" * 150, "is nested more than 100 deep"),
        ("gaps.x + 1", "needs itself: gaps.x -> gaps.x"),
    ],
    ids=lambda text: text[:30],
)
def test_one_line_each(expression: str, message: str) -> None:
    (mistake,) = check_on_demand(declared(x=expression))
    assert mistake.key == "features.gaps.features.x.expression"
    assert mistake.message.startswith(message)
    assert "\n" not in mistake.message


def test_a_circle_is_told_once() -> None:
    features = declared(a="gaps.b", b="gaps.c * 2", c="gaps.a", d="gaps.a + price.price", e="price.price")
    (mistake,) = check_on_demand(features)
    assert mistake.key == "features.gaps.features.a.expression"
    assert mistake.message == "needs itself: gaps.a -> gaps.b -> gaps.c -> gaps.a"


def test_all_at_once_and_with_the_rest_of_the_run() -> None:
    config = make_config()
    features = {"x": {"dtype": "float", "expression": "visit.prise"}, "y": {"dtype": "str", "expression": "1"}}
    config["features"]["extra"] = {"source": "on_demand", "features": features}
    keys = [one.key for one in check(RunSpec.model_validate(config))]
    assert keys == ["features.extra.features.x.expression", "features.extra.features.y.expression"]


def test_what_they_are_computed_from() -> None:
    features = declared(a="price.price - gaps.b", b="visit.hour * spending.amount_2h", c="region.area = 'x'")
    assert bases(features, ["gaps.a", "price.label"]) == {
        "visit.hour": "int",
        "price.price": "float",
        "price.label": "str",
        "spending.amount_2h": "float",
    }


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"key": "item"}, "on-demand features have no key and no windows"),
        ({"features": {"x": {"dtype": "float"}}}, "'x' needs an expression over other features"),
        ({"features": {"x": {"agg": "count", "windows": ["1d"]}}}, "no key and no windows"),
    ],
)
def test_their_view(view: dict[str, object], message: str) -> None:
    whole = {"source": "on_demand", "features": {"x": {"dtype": "float", "expression": "1"}}, **view}
    with pytest.raises(ValidationError, match=message):
        FeatureViewSpec.model_validate(whole)
