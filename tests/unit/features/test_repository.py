"""What is registered with Feast."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.repository import feast_objects, open_repository, register
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Any]:
    shop = Shop(tmp_path_factory.mktemp("registered"))
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_trees", {"price.price": "float", "visit.hour": "int"})
    return shop, store


def test_views(registered: tuple[Shop, Any]) -> None:
    views = {view.name: view for view in registered[1].list_feature_views()}
    assert set(views) == {"price", "region", "spending", "habits"}
    assert views["price"].ttl == timedelta(days=2)
    assert views["spending"].ttl == timedelta(0)
    assert views["spending"].owner == "shop@example.com"
    assert views["spending"].tags == {"problem": "shop", "table": "visits", "snapshot": "30m", "delay": "1h"}
    assert views["spending"].join_keys == ["user", "item"]


def test_each_window_is_a_feature_that_can_be_searched_for(registered: tuple[Shop, Any]) -> None:
    view = registered[1].get_feature_view("spending")
    fields = {field.name: field for field in view.features}
    assert len(fields) == 7
    assert fields["visits_2h"].description == "visits, last 2h"
    assert fields["visits_2h"].tags == {
        "data_type": "int",
        "feature_type": "numerical",
        "aggregate": "count",
        "aggregation_length": "2h",
        "aggregation_seconds": "7200",
        "owner": "shop@example.com",
    }
    assert fields["big_all"].tags["filter"] == "amount > 10"
    assert fields["amount_all"].description == "amount, all time"


def test_entities_and_request_features(registered: tuple[Shop, Any]) -> None:
    _, store = registered
    assert {one.name: one.value_type.name for one in store.list_entities()} == {"user": "INT64", "item": "STRING"}
    request = store.get_data_source("visit")
    assert [field.name for field in request.schema] == ["hour", "is_big"]


def test_the_service_holds_what_the_model_reads(registered: tuple[Shop, Any]) -> None:
    service = registered[1].get_feature_service("shop_trees")
    assert [(one.name, [f.name for f in one.features]) for one in service.feature_view_projections] == [
        ("price", ["price"])
    ]


def snapshot(store: Any) -> dict[str, Any]:
    store.refresh_registry()
    return {
        "views": {
            one.name: (one, one.created_timestamp, one.current_version_number) for one in store.list_feature_views()
        },
        "services": {one.name: one for one in store.list_feature_services()},
        "entities": {one.name: one for one in store.list_entities()},
        "sources": {one.name: one for one in store.list_data_sources()},
    }


def test_registering_again_changes_nothing(registered: tuple[Shop, Any]) -> None:
    shop, store = registered
    before = snapshot(store)
    register(store, shop.problem, shop.features, "shop_trees", {"price.price": "float", "visit.hour": "int"})
    assert snapshot(store) == before


def test_what_is_no_longer_declared_goes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_one", {"price.price": "float"})
    register(store, shop.problem, shop.features, "shop_two", {"region.area": "str"})
    fewer: dict[str, Any] = copy.deepcopy(FEATURES)
    del fewer["price"], fewer["visit"]
    register(store, shop.problem, FeaturesSpec.model_validate(fewer), "shop_two", {"region.area": "str"})
    after = snapshot(store)
    assert set(after["views"]) == {"region", "spending", "habits"}
    assert set(after["services"]) == {"shop_two"}, "the other one read what is gone"
    assert set(after["sources"]) == {"region_table", "spending_table", "habits_table"}


def test_feature_tables_come_first(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kedro run --pipelines=features"):
        feast_objects(shop.problem, shop.features, tmp_path)
