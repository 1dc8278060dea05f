"""Features are found by beginnings of words, counted by facet, and compared with each other."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from proml_kedro.features.views.freshness import freshness
from proml_kedro.marketplace.entry import Entry, FeatureUsage, list_features, window_words
from proml_kedro.marketplace.index import FACETS, Market
from shop import Shop

FACTS = FeatureUsage(
    models={"trees": ["price.price", "spending.amount_2h"], "linear": ["price.price"]},
    bundles={"shop-trees:v1": ["price.price"]},
    null_share={"price.price": 0.25},
    importance={"spending.amount_2h": 0.75},
)


@pytest.fixture(scope="module")
def entries(shop: Shop) -> list[Entry]:
    return list(list_features(shop.problem, shop.features, FACTS, lambda key: f"conf/features/shop.yaml: {key}"))


@pytest.fixture(scope="module")
def market(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market.build(tmp_path_factory.mktemp("market") / "market.sqlite", entries)


def names(market: Market, query: str = "", limit: int = 50, **filters: str | int) -> list[str]:
    return [one.name for one in market.search(query, filters, limit).entries]


def test_every_declared_feature_is_an_entry(shop: Shop, entries: list[Entry]) -> None:
    assert [one.name for one in entries] == list(shop.features.columns())
    by_name = {one.name: one for one in entries}
    amount = by_name["spending.amount_2h"]
    assert (amount.dtype, amount.feature_type, amount.entity) == ("float", "numerical", "user,item")
    assert (amount.window, amount.window_seconds, amount.snapshot, amount.delay) == ("2h", 7200, "30m", "1h")
    assert (amount.definition, amount.source) == ("mean(amount) from visits", "visits.parquet")
    assert amount.place == "conf/features/shop.yaml: features.spending.features.amount"
    assert by_name["spending.big_all"].definition == "count(*) where amount > 10 from visits"
    assert by_name["spending.big_all"].window_seconds == -1
    assert by_name["spending.visits_1d"].description == "visits, last 1d"
    assert by_name["price.label"].definition == "upper(tag) from prices"
    assert (by_name["price.label"].feature_type, by_name["price.label"].ttl) == ("categorical", "2d")
    assert by_name["visit.hour"].entity == "request"


def test_facts_reach_their_features(market: Market) -> None:
    [price] = market.get("price.price")
    assert (price.models, price.bundles, price.null_share, price.importance) == (
        "trees,linear",
        "shop-trees:v1",
        0.25,
        None,
    )
    [area] = market.get("region.area")
    assert (area.models, area.null_share) == ("", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("amount 2h", {"spending.amount_2h"}),
        ("am 2", {"spending.amount_2h"}),
        ("AMOUNT   all!", {"spending.amount_all"}),
        ("amount all time", {"spending.amount_all"}),
        ("spending.visits last 1 day", {"spending.visits_1d", "spending.total_1d", "spending.least_1d"}),
        ("total last 24 hours", {"spending.total_1d"}),
        ("shop@example.com amount", {"spending.amount_2h", "spending.amount_all"}),
        ("count big", {"spending.big_all"}),
        ("spending nothing", set()),
        ('"price" OR NOT * AND (', set()),
        ("area", {"region.area"}),
        ("mount", set()),
    ],
)
def test_every_word_is_the_beginning_of_one(market: Market, query: str, expected: set[str]) -> None:
    assert set(names(market, query)) == expected


def test_words_in_the_name_come_first_then_what_is_used(market: Market) -> None:
    assert names(market)[:2] == ["price.price", "spending.amount_2h"], "the most used first"
    found = names(market, "visits")
    assert set(found[:2]) == {"spending.visits_2h", "spending.visits_1d"}
    assert {"spending.amount_2h", "spending.total_1d"} <= set(found[2:]), "these are from the table of that name"
    assert names(market, "am")[0] == "spending.amount_2h"


def test_filters(market: Market) -> None:
    assert names(market, window_seconds=86400, feature_type="numerical", aggregate="sum") == ["spending.total_1d"]
    assert set(names(market, entity="item")) >= {"price.price", "spending.amount_2h"}, "a part of a composite key"
    assert names(market, entity="user,item", dtype="int", aggregate="count", window="all") == ["spending.big_all"]
    assert names(market, entity="nobody") == []
    with pytest.raises(KeyError):
        market.search("", {"nope; drop table feature": 1})


def test_facets_count_what_was_found(market: Market, entries: list[Entry]) -> None:
    for query, filters in (("", {}), ("visits", {}), ("", {"dtype": "int"})):
        found = market.search(query, filters, limit=1)
        whole = market.search(query, filters, limit=100)
        assert len(whole.entries) == found.total
        for facet in FACETS:
            values = [getattr(one, facet) for one in whole.entries]
            assert found.facets[facet] == {one: values.count(one) for one in values}, facet


def test_when_nothing_has_all_words_each_is_counted_alone(market: Market) -> None:
    found = market.search("amount zzz area")
    assert (found.total, found.alone) == (0, {"amount": 2, "zzz": 0, "area": 1})
    assert market.search("amount").alone == {}


def test_a_facet_that_the_index_does_not_hold(tmp_path: Path, entries: list[Entry]) -> None:
    market = Market.build(tmp_path / "market.sqlite", entries)
    market.warm()
    market.add_facet("freshness", lambda problem, view: f"{problem} {'new' if view == 'spending' else 'old'}")
    found = market.search("visits", limit=100)
    expected = sum(one.view == "spending" for one in found.entries)
    assert found.facets["freshness"] == {"shop new": expected, "shop old": found.total - expected}
    assert names(market, "visits", freshness="shop old") == [
        one.name for one in found.entries if one.view != "spending"
    ]
    assert names(market, freshness="never") == []


def test_limit_and_total(market: Market, entries: list[Entry]) -> None:
    found = market.search("", limit=3)
    assert (len(found.entries), found.total, len(market)) == (3, len(entries), len(entries))
    assert names(market, limit=3) == names(market)[:3]


def test_building_again_replaces_the_file_as_a_whole(tmp_path: Path, entries: list[Entry]) -> None:
    file = tmp_path / "market.sqlite"
    Market.build(file, entries).close()
    with pytest.raises(sqlite3.Error):
        Market.build(file, [replace(entries[0], owner=object())])  # type: ignore[arg-type]
    assert len(Market(file)) == len(entries), "a build that fails leaves the old one"
    assert len(Market.build(file, entries[:3])) == 3
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_an_empty_market(tmp_path: Path) -> None:
    found = Market.build(tmp_path / "market.sqlite", []).search("price")
    assert (found.total, found.entries) == (0, [])


def test_near_duplicates(tmp_path: Path, entries: list[Entry]) -> None:
    by_name = {one.name: one for one in entries}
    amount = by_name["spending.amount_2h"]
    copy = replace(amount, name="sales.mean_price_120m", view="sales", description="something else", problem="other")
    market = Market.build(tmp_path / "market.sqlite", [*entries, copy])
    likeness, nearest = market.similar(amount)[0]
    assert (nearest.name, likeness) == ("sales.mean_price_120m", 0.95), "the same definition under another name"
    assert "spending.amount_all" in [one.name for _, one in market.similar(amount)]
    assert amount.name not in [one.name for _, one in market.similar(amount)]
    assert market.similar(by_name["region.area"]) == []


@pytest.mark.parametrize(
    ("window", "words"),
    [("7d", "last 7 days 1 week"), ("90m", "last 90 minutes"), ("1h", "last 60 minutes 1 hour"), ("", "")],
)
def test_windows_in_words(window: str, words: str) -> None:
    assert window_words(window) == words


def test_freshness_is_read_from_the_tables_metadata(shop: Shop, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(shop.views / "spending.parquet")
    fresh = freshness(shop.views / "spending.parquet")
    assert fresh is not None
    assert fresh.rows == rows.num_rows
    assert fresh.newest == max(rows["event_timestamp"].to_pylist())
    assert freshness(tmp_path / "none.parquet") is None
