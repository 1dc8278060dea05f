"""The online store gives what a training set would hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from proml_kedro.features.feast.materialize import materialize
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.lookup import OnlineFeatures
from proml_kedro.features.online.open import rows_at
from shop import HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Any, OnlineFeatures]:
    shop = Shop(tmp_path_factory.mktemp("online"))
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(store, shop.problem, shop.features, "shop_all", shop.features.columns(), shop.views)
    materialize(store, END, "shop_all")
    return (
        shop,
        store,
        OnlineFeatures(rows_at(store.config.online_store.path, "shop"), shop.features, shop.features.columns()),
    )


def keys() -> list[dict[str, Any]]:
    users = [*range(12), None]
    return [{"user": user, "item": item, "more": 1} for user in users for item in ["i0", "i1", "i4", "i5", "new", None]]


@pytest.mark.parametrize(
    ("later", "alive"), [(timedelta(0), True), (timedelta(hours=1), True), (timedelta(days=3), False)]
)
def test_agrees_with_the_offline_store(online: tuple[Shop, Any, OnlineFeatures], later: timedelta, alive: bool) -> None:
    """As of the moment of materialization every cell is the same; later on, what has expired is missing too."""
    shop, store, features = online
    names = [name for name in shop.features.columns() if not name.startswith(("visit.", "gaps."))]
    frame = pd.DataFrame(keys()).astype({"user": "Int64"}).assign(event_timestamp=pd.Timestamp(END))
    refs = [name.replace(".", ":") for name in names]
    offline = store.get_historical_features(frame, refs, full_feature_names=True).to_df()
    if later:
        # What the online store holds is from END; only its age counts from then on.
        known = pd.read_parquet(shop.views / "price.parquet")
        known = known[known["event_timestamp"] <= END].groupby("item")["event_timestamp"].max()
        expired = (END + later - frame["item"].map(known)) > timedelta(days=2)
        offline.loc[expired.to_numpy(), ["price__price", "price__label"]] = None
    values = features.read(keys(), END + later)
    assert list(values) == names
    present = 0
    for name in names:
        expected = offline[name.replace(".", "__")]
        # A key that nothing has happened to yet has no row; see test_training_set for the zeros.
        if name.split(".")[1].startswith(("visits", "total", "big", "different_hours", "faded")):
            known_key = frame["user"].notna() & frame["item"].notna()
            expected = expected.where(~(known_key & expected.isna()), 0)
        for got, wanted in zip(values[name], expected, strict=True):
            if name == "taste.embedding":
                present += wanted is not None
                np.testing.assert_array_equal(got, [np.nan] * 3 if wanted is None else wanted)
                continue
            missing = got is None or (isinstance(got, float) and np.isnan(got))
            assert missing == bool(pd.isna(wanted)), name
            present += not missing
            assert missing or got == wanted, name
    assert present > 100
    assert alive == (not np.isnan(values["price.price"]).all())
    assert np.isnan(values["price.price"]).any()


def test_types(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    values = online[2].read(keys(), END)
    assert values["price.price"].dtype == np.float64
    assert values["spending.visits_2h"].dtype == np.float64
    assert values["price.label"].dtype == object
    assert {len(one) for one in values.values()} == {len(keys())}


def test_values_from_after_the_moment_are_missing(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    values = online[2].read(keys(), [END - timedelta(days=30)] * len(keys()))
    assert np.isnan(values["price.price"]).all()
    assert values["region.area"][0] == "north", "this has always been known"


def test_one_moment_for_each_row(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    row = {"user": 1, "item": "i1"}
    values = online[2].read([row, row], [END, END - timedelta(days=30)])
    assert values["spending.visits_1d"][0] >= 0
    assert np.isnan(values["spending.visits_1d"][1])
    with pytest.raises(ValueError, match="2 rows and 1 moments"):
        online[2].read([row, row], [END])


def test_no_rows(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    assert all(len(values) == 0 for values in online[2].read([], END).values())


def test_keys_as_they_come(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    first, second = online[2].read([{"user": "1", "item": "i1"}, {"user": 1.0, "item": "i1"}], END)["region.area"]
    assert first == second == "east"
    assert online[2].read([{}], END)["region.area"][0] is None
    with pytest.raises(ValueError, match="'user' is not a whole number"):
        online[2].read([{"user": "me", "item": "i1"}], END)


def test_materializing_again_moves_on(online: tuple[Shop, Any, OnlineFeatures]) -> None:
    _, store, features = online
    row = [{"user": 1, "item": "i1"}]
    try:
        before = features.read(row, END)["spending.big_all"][0]
        materialize(store, END + timedelta(days=8), "shop_all")
        assert features.read(row, END + timedelta(days=8))["spending.big_all"][0] > before
    finally:
        materialize(store, END, "shop_all")
