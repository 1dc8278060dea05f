"""A feature that a bundle looks up is not removed under it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from proml_kedro.errors import UserError
from proml_kedro.release.used_features import refuse_removal
from proml_kedro.results import Places
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from shop import FEATURES, PROBLEM

INPUTS = [
    {"name": "visit.hour", "dtype": "int", "request": True},
    {"name": "price.price", "dtype": "float", "request": False},
    {"name": "spending.visits_2h", "dtype": "int", "request": False},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for model in ("trees", "linear"):
        folder = tmp_path / "shop" / model / "bundle"
        folder.mkdir(parents=True)
        inputs = INPUTS if model == "trees" else INPUTS[:1]
        manifest = {"name": f"shop-{model}", "version": "v1", "schema": {"inputs": inputs}}
        (folder / "proml.yaml").write_text(yaml.safe_dump(manifest))
    return tmp_path


def refused(data: Path, change: Any, **options: Any) -> dict[str, str]:
    features = copy.deepcopy(FEATURES)
    del features["gaps"]
    places = Places(str(data), "shop", "trees")
    change(features)
    try:
        refuse_removal(
            ProblemSpec.model_validate(PROBLEM),
            FeaturesSpec.model_validate(features),
            places,
            **options,
        )
    except UserError as error:
        return {one.key: one.message for one in error.mistakes}
    return {}


def test_what_is_still_declared_or_not_looked_up_may_change(data: Path) -> None:
    assert refused(data, lambda features: None) == {}
    assert refused(data, lambda features: features.pop("visit")) == {}, "requests bring it"
    assert refused(data, lambda features: features.pop("region")) == {}


def test_a_view_that_is_gone(data: Path) -> None:
    (message,) = refused(data, lambda features: features.pop("price")).values()
    place = data / "shop" / "trees" / "bundle"
    assert message.startswith(f"'price.price' is no longer declared, and the bundle {place} (shop-trees:v1) reads it;")
    assert "remove_used_features=true" in message
    assert refused(data, lambda features: features.pop("price"), allowed=True) == {}


def test_a_window_or_a_type_that_is_gone(data: Path) -> None:
    def change(features: dict[str, Any]) -> None:
        features["spending"]["features"]["visits"]["windows"] = ["1d"]
        features["price"]["features"]["price"]["dtype"] = "str"

    found = refused(data, change)
    assert set(found) == {"features.price", "features.spending"}
    assert found["features.price"].startswith("'price.price' is str now, but was float")


def test_a_bundle_that_cannot_be_read_holds_nobody_up(data: Path) -> None:
    (data / "shop" / "trees" / "bundle" / "proml.yaml").write_text("{")
    assert refused(data, lambda features: features.pop("price")) == {}
