"""Names stand for one object each, by decorator or entry point."""

import pytest

from proml_kedro.extensions import Registry, UnknownNameError, components


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
