"""Vectors in tables, windows, training sets and errors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop


def changed(view: str, **feature: dict[str, Any]) -> FeaturesSpec:
    declared: dict[str, Any] = copy.deepcopy(FEATURES)
    declared[view]["features"] = feature
    del declared["gaps"]
    return FeaturesSpec.model_validate(declared)


def test_a_vector_of_the_wrong_size_is_one_line(shop: Shop, tmp_path: Path) -> None:
    features = changed("taste", embedding={"dtype": "vector[4]"})
    with pytest.raises(UserError) as caught:
        compute_views(shop.problem, features, shop.tables, HARDWARE, tmp_path)
    (mistake,) = caught.value.mistakes
    assert mistake.key == "features.taste.features.embedding"
    wanted = "cannot be computed as FLOAT[4]: Cannot cast list with length 3 to array with length 4"
    assert mistake.message.startswith(wanted)


def test_so_is_one_of_the_examples(shop: Shop, tmp_path: Path) -> None:
    features = changed("visit", hour={"dtype": "int"}, wish={"dtype": "vector[2]"})
    columns = {"visit.hour": "int", "visit.wish": "vector[2]"}
    with pytest.raises(UserError) as caught:
        build_training_set(shop.problem, features, columns, shop.tables, None, HARDWARE, tmp_path)
    (mistake,) = caught.value.mistakes
    assert mistake.key == "features.visit.features.wish"
    assert "cannot be computed as FLOAT[2]" in mistake.message


def test_text_is_no_vector(shop: Shop, tmp_path: Path) -> None:
    features = changed("price", price={"dtype": "vector[2]", "expression": "tag"})
    with pytest.raises(UserError, match="cannot be computed as FLOAT"):
        compute_views(shop.problem, features, shop.tables, HARDWARE, tmp_path)


def test_the_last_vector_of_a_window(shop: Shop, tmp_path: Path) -> None:
    features = changed("spending", wish={"agg": "last", "dtype": "vector[3]", "expression": "wish", "windows": ["2h"]})
    compute_views(shop.problem, features, shop.tables, HARDWARE, tmp_path)
    values = pq.read_table(tmp_path / "spending.parquet")["wish_2h"].to_pylist()
    assert {None if one is None else len(one) for one in values} == {None, 3}
