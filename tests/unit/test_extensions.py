"""Names stand for one object each, by decorator or entry point."""

from importlib.metadata import entry_points
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from proml_kedro.extensions import Registry, UnknownNameError, blocks, components, heads


def test_a_decorated_object_is_found():
    registry: Registry[type] = Registry("shape")

    @registry.register("round")
    class Round:
        pass

    assert registry.get("round") is Round
    assert registry.names() == ["round"]


def test_a_name_is_given_once():
    registry: Registry[object] = Registry("shape")
    registry.register("round")(object())
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("round")(object())


def test_an_unknown_name_gets_a_suggestion():
    registry: Registry[object] = Registry("shape")
    registry.register("round")(object())
    with pytest.raises(UnknownNameError, match="Did you mean 'round'"):
        registry.get("rund")


def test_shipped_components_are_entry_points():
    assert {"logistic", "xgboost"} <= set(components.names())
    assert components.get("xgboost").Component.__name__ == "XGBoost"


def test_shipped_blocks_and_heads_are_entry_points_only():
    for registry, name in ((blocks, "mlp"), (heads, "binary")):
        assert name in {one.name for one in entry_points(group=registry.group)}


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shape: str = "round"


class Round(Shape):
    radius: float


class Square(Shape):
    side: float


def shapes(**options: Any) -> TypeAdapter[Any]:
    registry: Registry[type[Shape]] = Registry("shape")
    registry.register("round")(Round)
    registry.register("square")(Square)
    return TypeAdapter(registry.field(Shape, lambda shape: shape, "shape", **options))


def messages(adapter: TypeAdapter[Any], value: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(value)
    return [one["msg"] for one in caught.value.errors()]


def test_a_key_names_the_entry_that_checks_the_others():
    adapter = shapes()
    assert adapter.validate_python({"shape": "square", "side": 2}) == Square(shape="square", side=2)
    assert adapter.dump_python(Square(shape="square", side=2)) == {"shape": "square", "side": 2}
    assert messages(adapter, {"shape": "square", "radius": 2}) == [
        "Field required",
        "Extra inputs are not permitted",
    ]
    assert messages(adapter, {"side": 2}) == ["shape is missing; known: round, square"]
    assert messages(adapter, {"shape": "sqare", "side": 2}) == ["no shape 'sqare'. Did you mean 'square'?"]
    assert shapes(default="round").validate_python({"radius": 1}) == Round(radius=1)


def test_a_second_key_can_name_the_entry_and_messages_can_begin_with_the_key():
    def name_of(value: Any) -> str | None:
        return "square" if "side" in value else value.get("shape")

    adapter = shapes(name_of=name_of, prefix="shape: ")
    assert adapter.validate_python({"side": 2}) == Square(side=2)
    assert messages(adapter, {"radius": 2}) == ["shape: is missing; known: round, square"]
    assert messages(adapter, {"shape": "rund"}) == ["shape: no shape 'rund'. Did you mean 'round'?"]
