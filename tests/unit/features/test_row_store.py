"""The online store behind Feast's interface, on real files: newer values stay, and only what is new is written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.features.feast.materialize import materialize, materialize_new
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.lookup import OnlineFeatures
from proml_kedro.features.online.open import open_store, store_place
from proml_kedro.features.online.sqlite import SQLiteStore
from proml_kedro.features.online.store import Layout, NewRows, Watermark, entity_key, to_microseconds
from proml_kedro.spec.features import FeaturesSpec
from redis_server import redis_server
from shop import HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)
DAY = timedelta(days=1)
VIEWS = ["price", "region", "spending"]


class Online:
    """The shop's repository; `read` is what a service does."""

    def __init__(self, folder: Path, place: str = "sqlite") -> None:
        self.shop = Shop(folder)
        self.place = place
        self.store = open_repository(self.shop.problem, self.shop.features, self.shop.data, HARDWARE, place)
        register(
            self.store, self.shop.problem, self.shop.features, "shop_all", self.shop.features.columns(), self.shop.views
        )
        self.at = open_store(store_place(place, "shop", self.shop.data), "shop")
        self.features = OnlineFeatures(self.at, self.shop.features, self.shop.features.columns())
        self.file = self.shop.data / "feature_store" / "shop" / "online.db"

    def push(self, price: float, at: datetime, created: datetime | None = None, item: str = "i1") -> None:
        row = {"item": item, "event_timestamp": at, "created_timestamp": created or at, "price": price, "label": "A"}
        self.store.write_to_online_store("price", pd.DataFrame([row]))

    def price(self, as_of: datetime, item: str = "i1") -> float:
        return float(self.features.read([{"user": 1, "item": item}], as_of)["price.price"][0])

    def fill(self, end: datetime, views: list[str] = VIEWS, **options: Any) -> dict[str, str]:
        return dict(materialize_new(self.store, self.shop.views, views, end, HARDWARE, **options))

    def rows(self) -> dict[str, set[tuple[Any, ...]]]:
        """Everything that is stored: key, moment and values."""
        if self.place != "sqlite":
            return {view: self._in_redis(view) for view in VIEWS}
        connection = sqlite3.connect(self.file)
        try:
            return {
                view: set(connection.execute(f'SELECT entity, moment, content FROM "shop.{view}"')) for view in VIEWS
            }
        finally:
            connection.close()

    def _in_redis(self, view: str) -> set[tuple[Any, ...]]:
        from redis import Redis

        prefix = f"proml:shop:row:{view}:".encode()
        keys = [key.removeprefix(prefix) for key in Redis.from_url(self.place).scan_iter(match=prefix + b"*")]
        return {(key, moment, str(values)) for key, (moment, _, values) in self.at.read(view, keys).items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "redis"])
def online(tmp_path: Path, request: pytest.FixtureRequest) -> Online:
    if request.param == "sqlite":
        return Online(tmp_path)
    from redis import Redis

    url = request.getfixturevalue("server")
    Redis.from_url(url).flushall()
    return Online(tmp_path, url)


def test_an_older_write_never_replaces_a_newer_value(online: Online) -> None:
    online.push(2.0, END)
    online.push(1.0, END - timedelta(seconds=1))
    assert online.price(END) == 2.0
    online.push(3.0, END + timedelta(microseconds=1))
    assert online.price(END + DAY) == 3.0


def test_feasts_own_store_lets_it_win(online: Online, tmp_path: Path) -> None:
    """Why there is a store of our own; when this fails, Feast's has learned it too."""
    config = online.store.config.model_copy()
    from feast import FeatureStore, RepoConfig

    place = tmp_path / "theirs"
    place.mkdir()
    config = RepoConfig(
        project="shop",
        provider="local",
        repo_path=place,
        registry={"registry_type": "file", "path": str(place / "registry.db")},
        online_store={"type": "sqlite", "path": str(place / "online.db")},
        entity_key_serialization_version=3,
    )
    theirs = FeatureStore(repo_path=str(place), config=config)
    register_objects = [*online.store.list_entities(), online.store.get_feature_view("price")]
    theirs.apply(register_objects)
    online.store = theirs
    online.push(2.0, END)
    online.push(1.0, END - DAY)
    answer = theirs.get_online_features(["price:price"], [{"item": "i1"}]).to_dict()
    assert answer["price"] == [1.0]


def test_ties_go_to_what_was_created_later_then_to_what_is_written_later(online: Online) -> None:
    online.push(2.0, END, created=END + DAY)
    online.push(1.0, END, created=END)
    assert online.price(END) == 2.0
    online.push(3.0, END, created=END + DAY)
    assert online.price(END) == 3.0


def test_a_value_expires_to_the_microsecond(online: Online) -> None:
    online.push(2.0, END)
    assert online.price(END + 2 * DAY) == 2.0
    assert np.isnan(online.price(END + 2 * DAY + timedelta(milliseconds=1)))
    online.push(1.0, END - 3 * DAY)
    assert np.isnan(online.price(END + 2 * DAY + timedelta(milliseconds=1))), "an older write revives nothing"


def test_each_entity_has_one_row_and_nothing_is_made_up(online: Online) -> None:
    materialize(online.store, END, "shop_all")
    rows = online.rows()
    for view in VIEWS:
        table = pq.read_table(online.shop.views / f"{view}.parquet").to_pandas()
        table = table[table["event_timestamp"] <= END]
        keys = online.shop.features.views[view].key
        assert len(rows[view]) == len(table.drop_duplicates(keys)), view
        assert len({entity for entity, _, _ in rows[view]}) == len(rows[view])
    assert np.isnan(online.price(END, "never seen"))


def test_the_same_key_may_be_asked_for_twice(online: Online) -> None:
    online.push(2.0, END)
    asked = [{"user": 1, "item": "i1"}] * 3 + [{"user": 1, "item": "i2"}]
    assert online.features.read(asked, END)["price.price"].tolist()[:3] == [2.0] * 3


def test_only_what_is_new_is_written(online: Online) -> None:
    assert online.fill(END - 10 * DAY) == dict.fromkeys(VIEWS, "written anew")
    assert online.fill(END - 10 * DAY) == dict.fromkeys(VIEWS, "unchanged")
    assert online.fill(END) == dict.fromkeys(VIEWS, "moved on")
    step_by_step = online.rows()
    assert online.fill(END, anew=True) == dict.fromkeys(VIEWS, "written anew")
    assert online.rows() == step_by_step, "in steps or at once, it is the same"
    assert online.fill(END - DAY) == dict.fromkeys(VIEWS, "unchanged"), "it does not go back"


def test_new_rows_at_the_end_are_no_change_of_history(online: Online) -> None:
    table = online.shop.views / "price.parquet"
    whole = pq.read_table(table).to_pandas()
    whole[whole["event_timestamp"] <= END].to_parquet(table, index=False)
    online.fill(END, ["price"])
    whole.to_parquet(table, index=False)
    assert online.fill(END + 3 * DAY, ["price"]) == {"price": "moved on"}
    last = whole[(whole["item"] == "i1") & (whole["event_timestamp"] <= END + 3 * DAY)].iloc[-1]
    assert online.price(last["event_timestamp"]) == pytest.approx(last["price"], nan_ok=True)


def test_a_corrected_history_is_written_anew_but_not_over_what_was_pushed_later(online: Online) -> None:
    online.fill(END, ["price"])
    online.push(99.0, END + DAY, item="i1")
    table = online.shop.views / "price.parquet"
    whole = pq.read_table(table).to_pandas()
    whole["price"] = 7.0
    whole[whole["item"] != "i3"].to_parquet(table, index=False)
    assert online.fill(END, ["price"]) == {"price": "written anew"}
    assert online.price(END + DAY, "i1") == 99.0
    at = whole[(whole["item"] == "i2") & (whole["event_timestamp"] <= END)]["event_timestamp"].max()
    assert online.price(at, "i2") == 7.0
    assert np.isnan(online.price(END, "i3")), "what is no longer there is gone"


def test_an_interrupted_run_goes_on_where_it_was(online: Online) -> None:
    broken = online.shop.views / "region.parquet"
    content = broken.read_bytes()
    broken.write_bytes(b"nothing")
    with pytest.raises(Exception, match="region"):
        online.fill(END)
    broken.write_bytes(content)
    assert online.fill(END) == {"price": "unchanged", "region": "written anew", "spending": "written anew"}


def test_the_ledger_goes_with_the_store(online: Online) -> None:
    online.fill(END)
    if online.place == "sqlite":
        online.file.unlink()
        for rest in online.file.parent.glob("online.db-*"):
            rest.unlink()
    else:
        from redis import Redis

        Redis.from_url(online.place).flushall()
    assert online.fill(END) == dict.fromkeys(VIEWS, "written anew")


def test_a_view_that_was_removed_and_comes_back_is_written_again(online: Online) -> None:
    online.fill(END)
    fewer = FeaturesSpec({name: view for name, view in online.shop.features.views.items() if name != "price"})
    register(online.store, online.shop.problem, fewer, "shop_all", fewer.columns(), online.shop.views)
    register(
        online.store,
        online.shop.problem,
        online.shop.features,
        "shop_all",
        online.shop.features.columns(),
        online.shop.views,
    )
    assert online.fill(END) == {"price": "written anew", "region": "unchanged", "spending": "unchanged"}
    assert any(len(rows) > 3 for view, rows in online.rows().items() if view == "price")


def test_many_threads_read_while_one_writes(online: Online) -> None:
    online.push(0.0, END)
    seen: list[list[float]] = [[] for _ in range(4)]

    def read(values: list[float]) -> None:
        for _ in range(30):
            values.append(online.price(END + DAY))

    threads = [threading.Thread(target=read, args=(values,)) for values in seen]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        online.push(float(number), END + timedelta(minutes=number))
    for thread in threads:
        thread.join()
    for values in seen:
        assert len(values) == 30
        assert values == sorted(values), "time goes forward for every reader"
    assert online.price(END + DAY) == 19.0


KEYS = [{"user": 7}, {"user": -1}, {"item": "i1"}, {"item": ""}, {"user": 2**62, "item": "Ä"}, {"b": "x", "a": 3}]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_keys_are_those_of_feast(key: dict[str, Any]) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    types = {name: "int" if isinstance(value, int) else "str" for name, value in key.items()}
    values = [Value(int64_val=one) if isinstance(one, int) else Value(string_val=one) for one in key.values()]
    theirs = serialize_entity_key(EntityKey(join_keys=list(key), entity_values=values), 3)
    assert entity_key(types, key) == theirs


def test_feast_reads_what_was_written(online: Online) -> None:
    online.fill(END, ["price", "spending", "region"])
    names = [name for name in online.shop.features.columns() if name.partition(".")[0] in VIEWS]
    for user, item in ((1, "i1"), (3, "i4"), (77, "new")):
        refs = [name.replace(".", ":") for name in names]
        answer = online.store.get_online_features(refs, [{"user": user, "item": item}], full_feature_names=True)
        theirs = {name: answer.to_dict()[name.replace(".", "__")][0] for name in names}
        ours = online.features.look({"user": user, "item": item}, END)
        for name in names:
            if ours[name].state == "good":
                assert theirs[name] == ours[name].value, name


def test_a_file_of_an_older_format_is_filled_again(tmp_path: Path) -> None:
    online = Online(tmp_path)
    online.fill(END)
    with sqlite3.connect(online.file) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("CREATE TABLE old (x)")
    connection.close()
    assert online.fill(END) == dict.fromkeys(VIEWS, "written anew")
    price = OnlineFeatures(online.at, online.shop.features, {"price.price": "float"})
    assert price.read([{"item": "i2"}], END)["price.price"].shape == (1,)


def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    rows = open_store("redis://127.0.0.1:1/0", "shop")
    with pytest.raises(UserError) as caught:
        rows.exists()
    assert str(caught.value).startswith("online_store: cannot use Redis at 127.0.0.1:1: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_password_comes_from_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path, password="hunter2") as url:
        for wrong in ("", "guess"):
            monkeypatch.setenv("PROML_REDIS_PASSWORD", wrong)
            with pytest.raises(UserError, match="PROML_REDIS_PASSWORD") as caught:
                open_store(url, "shop").exists()
            assert "guess" not in str(caught.value)
        monkeypatch.setenv("PROML_REDIS_PASSWORD", "hunter2")
        assert open_store(url, "shop").exists() is False


def test_moments_before_1970_and_values_of_every_kind(online: Online) -> None:
    layout = (("a", "double_val"), ("b", "string_val"), ("c", "float_list_val"))
    key = entity_key({"user": "int"}, {"user": 1})
    online.at.add_view("odd", {"user": "int"})
    online.at.write("odd", layout, [(key, -5, 0, [0.1, 'ü\n"', [1.5, -2.0]])])
    online.at.write("odd", layout, [(key, -6, 9, [None, None, None])])
    assert online.at.read("odd", [key]) == {key: (-5, layout, [0.1, 'ü\n"', [1.5, -2.0]])}
    online.at.write("odd", layout, [(key, -5, 0, [float("inf"), None, None])])
    assert online.at.read("odd", [key])[key][2] == [float("inf"), None, None]
    online.at.drop_view("odd")
    with pytest.raises(LookupError):
        online.at.key_types("odd")


def test_whoever_reads_while_rows_are_replaced_finds_all_as_it_was(tmp_path: Path) -> None:
    moment, layout = datetime(2024, 1, 1, tzinfo=UTC), (("x", "double_val"),)
    at, keys = to_microseconds(moment), [b"a", b"b"]
    store, reader = (SQLiteStore(tmp_path / "online.db", "shop") for _ in range(2))
    store.add_view("v", {"k": "str"})
    store.write("v", layout, [(key, at, 0, [1.0]) for key in keys])
    store.set_watermark("v", moment, "before")
    seen = []

    def rows() -> Iterator[NewRows]:
        for key in keys:
            seen.append({one: row[2] for one, row in reader.read("v", keys).items()})
            yield layout, [(key, at - 5, 0, [2.0])]
        seen.append({one: row[2] for one, row in reader.read("v", keys).items()})

    store.replace("v", moment, rows(), Watermark(moment, "after"))
    assert seen == [{key: [1.0] for key in keys}] * 3
    assert {one: row[2] for one, row in reader.read("v", keys).items()} == {key: [2.0] for key in keys}
    with pytest.raises(KeyboardInterrupt):
        store.replace("v", moment, stopped(layout, at), Watermark(moment, "never"))
    assert {one: row[2] for one, row in reader.read("v", keys).items()} == {key: [2.0] for key in keys}
    assert reader.watermarks()["v"].history == "after"
    assert reader.is_as_written("v")


def stopped(layout: Layout, at: int) -> Iterator[NewRows]:
    yield layout, [(b"a", at, 0, [3.0])]
    raise KeyboardInterrupt
