"""What is registered with Feast."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.feast.repository import feast_objects, open_repository, register
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop

READ = {"price.price": "float", "visit.hour": "int", "gaps.gap": "float"}


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Any]:
    shop = Shop(tmp_path_factory.mktemp("registered"))
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_trees", READ, shop.views)
    return shop, store


def test_views(registered: tuple[Shop, Any]) -> None:
    views = {view.name: view for view in registered[1].list_feature_views()}
    assert set(views) == {"price", "region", "spending", "habits", "taste"}
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
    assert [field.name for field in request.schema] == ["hour", "is_big", "wish"]


def test_the_service_holds_what_the_model_reads(registered: tuple[Shop, Any]) -> None:
    service = registered[1].get_feature_service("shop_trees")
    assert [(one.name, [f.name for f in one.features]) for one in service.feature_view_projections] == [
        ("price", ["price"]),
        ("gaps", ["gap"]),
    ]


def test_on_demand_features_are_views_of_feast(registered: tuple[Shop, Any]) -> None:
    view = registered[1].get_on_demand_feature_view("gaps")
    assert {field.name for field in view.features} == {"gap", "late_gap", "tag", "busy", "hours", "likeness"}
    read = {name: {field.name for field in one.features} for name, one in view.source_feature_view_projections.items()}
    assert read == {
        "price": {"price", "label"},
        "region": {"area"},
        "spending": {"amount_2h", "visits_1d"},
        "taste": {"embedding"},
    }
    assert set(view.source_request_sources) == {"visit"}
    assert (view.mode, view.singleton) == ("python", False)
    assert "price.price - spending.amount_2h" in view.feature_transformation.udf_string


def test_feast_computes_what_a_training_set_holds(registered: tuple[Shop, Any], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    shop, store = registered
    columns = shop.features.columns()
    build_training_set(shop.problem, shop.features, columns, shop.tables, store, HARDWARE, tmp_path)
    ours = pq.read_table(tmp_path / "training_set.parquet").slice(0, 300).to_pandas()
    assert ours["gaps.gap"].notna().sum() > 20
    assert set(ours["gaps.tag"]) > {"a", "none"}
    keys = ours[["user", "item", "event_timestamp", "visit.hour", "visit.is_big", "visit.wish"]]
    asked = keys.rename(columns={"visit.hour": "hour", "visit.is_big": "is_big", "visit.wish": "wish"})
    # A count of events that never were is 0 in ours and null in Feast's, and so is what is made of it.
    names = [name for name in columns if name.startswith("gaps.") and name != "gaps.busy"]
    theirs = store.get_historical_features(asked, [name.replace(".", ":") for name in names], full_feature_names=True)
    table = theirs.to_arrow().to_pydict()
    for name in names:
        mine = [None if one is None or one != one else one for one in ours[name].tolist()]
        assert [None if one != one else one for one in table[name.replace(".", "__")]] == mine, name


def snapshot(store: Any) -> dict[str, Any]:
    store.refresh_registry()
    return {
        "views": {
            one.name: (one, one.created_timestamp, one.current_version_number) for one in store.list_feature_views()
        },
        "on_demand": {one.name: (one, one.created_timestamp) for one in store.list_on_demand_feature_views()},
        "services": {one.name: one for one in store.list_feature_services()},
        "entities": {one.name: one for one in store.list_entities()},
        "sources": {one.name: one for one in store.list_data_sources()},
    }


def test_registering_again_changes_nothing(registered: tuple[Shop, Any]) -> None:
    shop, store = registered
    before = snapshot(store)
    register(store, shop.problem, shop.features, "shop_trees", READ, shop.views)
    assert snapshot(store) == before


def test_what_is_no_longer_declared_goes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_one", {"price.price": "float"}, shop.views)
    register(store, shop.problem, shop.features, "shop_two", {"region.area": "str"}, shop.views)
    fewer: dict[str, Any] = copy.deepcopy(FEATURES)
    del fewer["price"], fewer["visit"], fewer["gaps"]
    register(store, shop.problem, FeaturesSpec.model_validate(fewer), "shop_two", {"region.area": "str"}, shop.views)
    after = snapshot(store)
    assert set(after["views"]) == {"region", "spending", "habits", "taste"}
    assert not after["on_demand"]
    assert set(after["services"]) == {"shop_two"}, "the other one read what is gone"
    assert set(after["sources"]) == {"region_table", "spending_table", "habits_table", "taste_table"}


def test_feature_tables_come_first(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kedro run --pipelines=features"):
        feast_objects(shop.problem, shop.features, tmp_path / "shop" / "feature_tables")
