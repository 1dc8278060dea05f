"""What holds of every field of every spec, those of all kinds in the registries too."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import ValidationError

import proml_kedro.spec
from proml_kedro.extensions import registries
from proml_kedro.spec.base import Spec

MAY_BE_ZERO = {"lead_time", "delay"}


def specs() -> list[type[Spec]]:
    """Every class of the configuration."""
    for module in pkgutil.iter_modules(proml_kedro.spec.__path__):
        importlib.import_module(f"proml_kedro.spec.{module.name}")
    for registry in registries():
        for name in registry.names():
            entry = registry.get(name)
            _ = getattr(entry, "Spec", None) or getattr(entry, "Limits", None)
    found, left = [], [Spec]
    while left:
        below = left.pop().__subclasses__()
        found += [one for one in below if one.__module__.startswith("proml_kedro")]
        left += below
    return sorted(set(found), key=lambda one: f"{one.__module__}.{one.__qualname__}")


def alternatives(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {one for member in get_args(annotation) for one in alternatives(member)}
    return {annotation} if get_origin(annotation) is None else {get_origin(annotation)}


def fields(*kinds: type) -> Iterator[Any]:
    """Every field that takes one of the types, and no truth value."""
    for spec in specs():
        for name, field in spec.model_fields.items():
            types = alternatives(field.annotation)
            if types & set(kinds) and bool not in types:
                yield pytest.param(spec, field.alias or name, id=f"{spec.__name__}.{name}")


def mistakes(spec: type[Spec], name: str, value: Any) -> list[Any]:
    """What is wrong with one key of a mapping, whatever else is missing."""
    sample = {**getattr(spec, "example", {}), name: value}
    if "agg" in spec.model_fields:
        sample["agg"] = get_args(spec.model_fields["agg"].annotation)[:1] or "count"
    with pytest.raises(ValidationError) as caught:
        spec.model_validate(sample)
    return [one for one in caught.value.errors() if one["loc"] and one["loc"][0] == name]


def test_there_are_fields_of_each_sort():
    assert len(list(fields(int))) > 25
    assert len(list(fields(float))) > 25
    assert len(list(fields(timedelta))) >= 7


@pytest.mark.parametrize(("spec", "name"), fields(int, float))
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(spec, name, value):
    assert {one["type"] for one in mistakes(spec, name, value)} <= {"int_type", "float_type"}
    assert mistakes(spec, name, value)


@pytest.mark.parametrize(("spec", "name"), fields(float))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_is_finite(spec, name, value):
    assert mistakes(spec, name, value)


@pytest.mark.parametrize(("spec", "name"), fields(timedelta))
@pytest.mark.parametrize("value", ["0s", 0, "-3h", -5, 7, True, timedelta(seconds=-1)])
def test_a_duration_is_a_length_of_time_with_a_unit(spec, name, value):
    if name not in MAY_BE_ZERO or value not in ("0s", 0) or value is False:
        assert mistakes(spec, name, value)


def test_two_names_of_one_parameter_are_not_given_at_once():
    from proml_kedro.models.xgboost.spec import _ALIASES, XGBoostParams

    for alias, name in _ALIASES.items():
        assert getattr(XGBoostParams.model_validate({alias: 0.5}), name) == 0.5
        with pytest.raises(ValidationError, match=f"{name}: '{alias}' is another name of it"):
            XGBoostParams.model_validate({alias: 0.5, name: 0.5})


@pytest.mark.parametrize(
    ("spec", "name", "alias"),
    [(spec, name, field.alias) for spec in specs() for name, field in spec.model_fields.items() if field.alias],
)
def test_a_key_and_its_other_name_are_not_given_at_once(spec, name, alias):
    with pytest.raises(ValidationError) as caught:
        spec.model_validate({name: ["a.b"], alias: ["a.c"]})
    assert {name, alias} & {str(one["loc"][0]) for one in caught.value.errors() if one["loc"]}
