"""What a request may hold, and what its sender is told."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ConfigDict, ValidationError, create_model

from proml_kedro.bundle import InputField, Schema
from proml_kedro.serving.schema import (
    MAX_PROBLEMS,
    RowReader,
    describe_problems,
    is_not_json,
    online_row_type,
    row_type,
    rows_field,
)

INPUTS = [
    InputField(name="visit.price", dtype="float", view="visit", request=True),
    InputField(name="visit.items", dtype="int", view="visit", request=True),
    InputField(name="visit.member", dtype="bool", view="visit", request=True),
    InputField(name="visit.shop", dtype="str", view="visit", request=True, entity="shop"),
    InputField(name="traffic.visits", dtype="int", view="traffic"),
]
SCHEMA = Schema(inputs=INPUTS, entities={"shop": "str", "user": "int"}, timestamp="at", lead_time="1h")
GOOD = {"visit.price": 1.5, "visit.items": 2, "visit.member": True, "visit.shop": "a", "traffic.visits": None}
KEYS = {"shop": "a", "user": 7, "visit.price": 1.5, "visit.items": 2, "visit.member": None}


def _model(row: Any) -> Any:
    return create_model("Body", __config__=ConfigDict(extra="forbid"), instances=(rows_field(row, 3), ...))


BODY, ONLINE = _model(row_type("Row", SCHEMA)), _model(online_row_type("KeyRow", SCHEMA))


def problems(text: str | bytes, model: Any = BODY) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(text)
    return describe_problems(caught.value, [one.name for one in INPUTS])


def of_row(**changes: Any) -> list[dict[str, Any]]:
    return problems(json.dumps({"instances": [{**GOOD, **changes}]}))


def test_a_good_row_passes():
    assert BODY.model_validate_json(json.dumps({"instances": [GOOD]})).instances == [GOOD]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_value_may_be_null_but_none_may_be_missing(name):
    BODY.model_validate_json(json.dumps({"instances": [{**GOOD, name: None}]}))
    without = {key: value for key, value in GOOD.items() if key != name}
    assert problems(json.dumps({"instances": [without]})) == [
        {"row": 0, "field": name, "problem": "is missing; send null when there is no value"}
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visit.price", "1.5"),
        ("visit.price", True),
        ("visit.price", [1.5]),
        ("visit.price", {"a": 1}),
        ("visit.price", 1e39),
        ("visit.items", 1.5),
        ("visit.items", "2"),
        ("visit.member", 1),
        ("visit.member", "yes"),
        ("visit.shop", 3),
        ("visit.shop", "x" * 1001),
    ],
)
def test_values_of_another_type_are_refused_by_name(name, value):
    (problem,) = of_row(**{name: value})
    assert (problem["row"], problem["field"]) == (0, name)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "1" + "0" * 400])
def test_numbers_that_are_not_finite_are_refused(number):
    text = json.dumps({"instances": [{**GOOD, "visit.price": 12345}]}).replace("12345", number)
    (problem,) = problems(text)
    assert problem["field"] == "visit.price"


def test_a_whole_number_may_be_written_with_a_point():
    BODY.model_validate_json(json.dumps({"instances": [{**GOOD, "visit.items": 2.0}]}))


def test_an_unknown_key_is_answered_with_the_nearest_known_one():
    assert of_row(**{"visit.pricee": 1}) == [
        {"row": 0, "field": "visit.pricee", "problem": "is unknown. Did you mean 'visit.price'?"}
    ]


def test_no_problem_shows_a_value():
    secret = "4111-1111"
    shown = json.dumps(of_row(**{"visit.price": secret, "visit.member": secret, "visit.items": secret}))
    assert secret not in shown
    assert secret not in json.dumps(problems(f"{{{secret}"))
    assert secret not in json.dumps(problems(json.dumps({"instances": secret})))


@pytest.mark.parametrize("text", ["", "{", "null x", '{"instances": [', b"\xff\xfe", "[" * 100_000])
def test_what_is_not_json_is_told_apart(text):
    with pytest.raises(ValidationError) as caught:
        BODY.model_validate_json(text)
    assert is_not_json(caught.value)
    assert describe_problems(caught.value, [])[0]["field"] == "body"


@pytest.mark.parametrize("count", [0, 4])
def test_a_body_holds_some_rows_and_not_too_many(count):
    (problem,) = problems(json.dumps({"instances": [GOOD] * count}))
    assert problem["field"] == "instances"


def test_rows_stand_below_instances():
    first, second = problems(json.dumps({"instance": [GOOD]}))
    assert first["problem"].startswith("is missing")
    assert second == {"field": "instance", "problem": "is unknown. Did you mean 'instances'?"}
    assert problems("[]") == [{"field": "body", "problem": "should be an object"}]


def test_a_row_that_is_no_object():
    assert problems('{"instances": [3]}') == [{"row": 0, "problem": "should be an object"}]


@pytest.mark.parametrize("number", [1e9 + 0.5, 2.6e-42, 0.5, 2.0**63])
def test_a_whole_number_is_whole_to_the_last_bit(number: float) -> None:
    """A tolerance let 1,000,000,000.5 pass."""
    (problem,) = of_row(**{"visit.items": number})
    assert problem["field"] == "visit.items"


@pytest.mark.parametrize("number", [3.0, -(2**63), 2**53, -0.0])
def test_a_whole_number_may_have_a_point(number: float) -> None:
    body = BODY.model_validate_json(json.dumps({"instances": [{**GOOD, "visit.items": number}]}))
    assert body.instances[0]["visit.items"] == int(number)


def test_not_more_problems_than_a_person_reads():
    row = {f"unknown_{number}": 1 for number in range(100)}
    assert len(problems(json.dumps({"instances": [row]}))) == MAX_PROBLEMS


def test_columns_have_the_types_that_models_read():
    rows = [GOOD, {**dict.fromkeys(GOOD), "visit.items": 2.0, "visit.member": False}]
    columns = RowReader(INPUTS, "float32")(rows)
    np.testing.assert_array_equal(columns["visit.price"], np.array([1.5, np.nan], np.float32))
    np.testing.assert_array_equal(columns["visit.member"], np.array([1, 0], np.float32))
    np.testing.assert_array_equal(columns["traffic.visits"], np.array([np.nan, np.nan], np.float32))
    assert columns["visit.shop"].tolist() == ["a", None]
    assert {name: values.dtype for name, values in columns.items()} == {
        **{one.name: np.dtype("float32") for one in INPUTS},
        "visit.shop": np.dtype(object),
    }
    assert RowReader(INPUTS, "float64")(rows)["visit.price"].dtype == np.float64


def test_keys_and_request_features_are_asked_for_online():
    ONLINE.model_validate_json(json.dumps({"instances": [KEYS]}))
    without = {name: value for name, value in KEYS.items() if name not in ("user", "visit.items")}
    fields = {one["field"] for one in problems(json.dumps({"instances": [without]}), ONLINE)}
    assert fields == {"user", "visit.items"}


@pytest.mark.parametrize(
    "moment", ["2024-05-01", "2024-05-01T10:00:00", "yesterday", 3.5e30, 0, 20240501, "20240501", "1714557600"]
)
def test_a_moment_has_an_offset(moment):
    (problem,) = problems(json.dumps({"instances": [{**KEYS, "timestamp": moment}]}), ONLINE)
    assert problem["field"] == "timestamp"


def test_a_feature_that_is_a_key_need_not_be_sent_twice():
    request = [one for one in INPUTS if one.request]
    assert RowReader(request, "float32")([KEYS])["visit.shop"].tolist() == ["a"]
    assert RowReader(request, "float32")([{**KEYS, "visit.shop": None}])["visit.shop"].tolist() == [None]
