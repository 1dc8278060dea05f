"""Every way in which an online store can be wrong is found, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from proml_kedro.features.feast.history import FeastHistory
from proml_kedro.features.feast.materialize import materialize
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.consistency import FeatureSources, check_consistency, compare_column
from proml_kedro.features.online.open import open_store
from proml_kedro.results import Consistency
from shop import HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)
MOMENTS = dict.fromkeys(("price", "region", "spending"), END)


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Shop, Any]:
    shop = Shop(tmp_path)
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_all", shop.features.columns(), shop.views)
    materialize(store, END, "shop_all")
    return shop, store


def check(shop: Shop, store: Any, **options: Any) -> dict[str, Any]:
    columns = shop.features.columns()
    moments = options.pop("moments", MOMENTS)
    online = open_store(store.config.online_store.path, "shop")
    sources = FeatureSources(shop.features, FeastHistory(store), online)
    compared = check_consistency(sources, columns, moments, shop.views, HARDWARE, **options)
    return Consistency.summing(compared).as_dict()


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["feature"]: one for one in result["comparisons"]}


def test_what_was_materialized_agrees(filled: tuple[Shop, Any]) -> None:
    result = check(*filled)
    assert result["mismatches"] == 0
    assert result["features"] == 10
    compared = by_name(result)
    keys = pq.read_table(filled[0].views / "spending.parquet").to_pandas()
    keys = keys[keys["event_timestamp"] <= END].drop_duplicates(["user", "item"])
    assert compared["spending.visits_2h"]["cells"] == len(keys)
    assert compared["spending.amount_all"]["present"] > 40
    assert compared["price.label"]["present"] > 0
    assert "visit.hour" not in compared, "request features are in no store"


def test_a_stale_store_is_found(filled: tuple[Shop, Any]) -> None:
    later = END + timedelta(days=3)
    compared = by_name(check(*filled, moments={"price": END, "spending": later}))
    assert compared["price.price"]["mismatches"] == 0
    assert compared["spending.visits_2h"]["mismatches"] > 5
    assert compared["spending.visits_2h"]["only_offline"] == 0


def test_a_value_that_was_written_wrong_is_found(filled: tuple[Shop, Any]) -> None:
    shop, store = filled
    row = {"user": 3, "area": "elsewhere", "event_timestamp": END, "created_timestamp": END}
    store.write_to_online_store("region", pd.DataFrame([row]))
    region = by_name(check(shop, store))["region.area"]
    assert region["mismatches"] == 1
    assert list(region["worst"].values()) in ([1.0], ["missing"])


def test_a_missing_row_is_found(filled: tuple[Shop, Any]) -> None:
    shop, store = filled
    connection = sqlite3.connect(store.config.online_store.path)
    with connection:
        connection.execute('DELETE FROM "shop.spending"')
    connection.close()
    amount = by_name(check(shop, store))["spending.amount_all"]
    assert amount["mismatches"] == amount["only_offline"] == amount["present"] > 40
    assert set(amount["worst"].values()) == {"missing"}


def test_the_same_keys_every_time_and_no_more_than_asked(filled: tuple[Shop, Any]) -> None:
    assert {one["cells"] for one in check(*filled, rows=3)["comparisons"]} == {3}
    assert check(*filled, rows=3) == check(*filled, rows=3)


def test_a_report_shows_neither_keys_nor_values(filled: tuple[Shop, Any]) -> None:
    connection = sqlite3.connect(filled[1].config.online_store.path)
    with connection:
        connection.execute('DELETE FROM "shop.region"')
    connection.close()
    result = check(*filled)
    assert result["mismatches"] > 0
    text = json.dumps(result)
    for word in ("north", "south", '"east"', '"i1"', '"user"', '"item"'):
        assert word not in text


def test_tolerance_and_order_of_the_worst() -> None:
    offline = np.array([1.0, 2.0, 0.0, np.nan, np.nan, 5.0])
    online = np.array([1.0 + 1e-12, 2.2, 0.0, np.nan, 1.0, -5.0])
    digests = list("abcdef")
    found = compare_column("view.feature", END.isoformat(), offline, online, digests, 1e-9)
    assert (found.cells, found.present, found.mismatches) == (6, 5, 3)
    assert (found.only_offline, found.only_online) == (0, 1)
    assert list(found.worst) == ["e", "f", "b"]
    assert found.worst["b"] == pytest.approx(0.2 / 2.2)
    assert compare_column("view.feature", END.isoformat(), offline, online, digests, 0.1).mismatches == 2
    assert compare_column("view.feature", END.isoformat(), offline, online, digests, 0.0).mismatches == 4
