"""Candidates in order, and features by key, over HTTP: held to what single rows score, and to a search of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from proml_kedro.features.online.lookup import Found
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.scorer import BundleScorer
from small import CITIES, make_bundle

RANK = {"within": "shop", "limit": 4, "at_most": {"visit.city": 2}}


class Reader:
    """Stands where the online store's reader does: a shop's visits follow from its number."""

    def find(self, keys: list[dict[str, Any]], moments: list[object]) -> Found:
        nothing = np.zeros(len(keys), np.int64)
        visits = np.array([np.nan if key["shop"] == 9 else 7.0 * (key["shop"] or 0) for key in keys])
        expired = np.array([2 * (key["shop"] == 9) for key in keys])
        return Found({"traffic.visits_3h": visits % 30, "traffic.visits_all": visits}, expired, nothing, nothing)


def client_of(scorer: BundleScorer) -> Iterator[TestClient]:
    scorer.online._reader = Reader()
    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, Options())) as client:
        yield client


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> BundleScorer:
    return BundleScorer(make_bundle(tmp_path_factory.mktemp("ranker"), rank=RANK))


@pytest.fixture(scope="module")
def client(ranker: BundleScorer) -> Iterator[TestClient]:
    yield from client_of(ranker)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    yield from client_of(BundleScorer(make_bundle(tmp_path_factory.mktemp("plain"))))


def candidates(seed: int, count: int = 12) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    return [{"shop": int(draw.integers(1, 12)), "visit.city": CITIES[draw.integers(3)]} for _ in range(count)]


COMMON = {"visit.price": 21.5, "visit.member": True}
ONE = {"shop": 1, "visit.city": "Oslo"}


@pytest.mark.parametrize("seed", range(6))
def test_order_is_that_of_single_rows_and_keeps_limits(client: TestClient, seed: int) -> None:
    asked = candidates(seed)
    answer = client.post("/rank", json={"common": COMMON, "candidates": asked})
    assert answer.status_code == 200, answer.text
    # Each candidate alone, with items at their neutral value of 3.
    alone = [
        client.post("/predict_online", json={"instances": [{**COMMON, **one, "visit.items": 3}]}).json()
        for one in asked
    ]
    scores = [one["probabilities"][0] for one in alone]
    expected, taken = [], dict.fromkeys(CITIES, 0)
    for number in sorted(range(len(asked)), key=lambda one: (-scores[one], one)):
        if taken[asked[number]["visit.city"]] < 2 and len(expected) < 4:
            taken[asked[number]["visit.city"]] += 1
            expected.append(number)
    items = answer.json()["items"]
    assert [one["candidate"] for one in items] == expected
    assert [one["place"] for one in items] == list(range(1, len(expected) + 1))
    assert [one["score"] for one in items] == [scores[number] for number in expected]
    assert [one["shop"] for one in items] == [asked[number]["shop"] for number in expected]
    for one in items:
        assert one["missing"] == alone[one["candidate"]]["missing"][0]
        assert one["expired"] == alone[one["candidate"]]["expired"][0] == 2 * (one["shop"] == 9)


def test_without_a_rank_all_are_shown_the_best_first(plain: TestClient) -> None:
    asked = [{**one, "visit.items": number} for number, one in enumerate(candidates(1))]
    items = plain.post("/rank", json={"common": COMMON, "candidates": asked}).json()["items"]
    assert sorted(one["candidate"] for one in items) == list(range(12))
    scores = [one["score"] for one in items]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("body", "row", "field"),
    [
        ({"common": COMMON, "candidates": [{**ONE}, {**ONE, "shop": "x"}]}, 1, "shop"),
        ({"common": COMMON, "candidates": [{**ONE, "visit.price": 1.0}]}, 0, "visit.price"),
        ({"common": COMMON, "candidates": [{**ONE, "visit.items": 1}]}, 0, "visit.items"),
        ({"candidates": [{"shop": 1, **COMMON}]}, 0, "visit.city"),
        ({"common": {}, "candidates": []}, None, "candidates"),
        ({"common": [], "candidates": [{}]}, None, "common"),
        ({"common": {}, "instances": [{}]}, None, "candidates"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_by_candidate_and_field(
    client: TestClient, body: dict[str, Any], row: int | None, field: str
) -> None:
    answer = client.post("/rank", json=body)
    assert answer.status_code == 422
    assert any(one.get("row") == row and one.get("field") == field for one in answer.json()["problems"]), answer.text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "3.5e38"])
def test_a_number_that_is_none_is_refused_and_not_missing(client: TestClient, value: str) -> None:
    body = f'{{"candidates": [{{"shop": 1, "visit.city": "Oslo", "visit.member": true, "visit.price": {value}}}]}}'
    answer = client.post("/rank", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "problems" in answer.json()


def test_features_are_those_of_the_store(client: TestClient) -> None:
    answer = client.post("/features", json={"instances": [{"shop": 4}, {"shop": 9}]})
    assert answer.json() == {
        "features": [
            {"traffic.visits_3h": 28, "traffic.visits_all": 28},
            {"traffic.visits_3h": None, "traffic.visits_all": None},
        ],
        "expired": [0, 2],
        "unknown": [0, 0],
    }
    assert ":28," in answer.text.replace(" ", "")  # as /predict takes it and tables have it; 28.0 is equal
    assert client.post("/features", json={"instances": [{"shop": 4, "visit.city": "Oslo"}]}).status_code == 422


def test_nothing_is_looked_up_where_that_is_off(ranker: BundleScorer) -> None:
    options = Options(online=False)
    with TestClient(make_application(ranker, ranker.bundle.manifest.serving, options)) as off:
        for path, body in (("/rank", {"candidates": [{}]}), ("/features", {"instances": [{"shop": 1}]})):
            answer = off.post(path, json=body)
            assert (answer.status_code, "not looked up" in answer.text) == (503, True)


def test_their_bodies_are_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    rank = described["components"]["schemas"]["RankRequest"]["properties"]
    item = rank["candidates"]["items"]["properties"]
    names = {"shop", "visit.city", "visit.price", "visit.member", "timestamp", "visit.shop"}
    assert set(item) == set(rank["common"]["properties"]) == names
    ranked = described["components"]["schemas"]["Ranked"]["properties"]["items"]["items"]["properties"]
    assert ranked["shop"] == {"type": ["integer", "null"]}
