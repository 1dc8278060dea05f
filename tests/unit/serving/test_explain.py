"""What each feature adds to a score: held to Shapley values computed from their definition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from starlette.testclient import TestClient

from proml_kedro.models.xgboost.component import XGBoost
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from small import fit, make_bundle, make_config, write_training_set


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> BundleScorer:
    return BundleScorer(make_bundle(tmp_path_factory.mktemp("explained"), max_explained_rows=7))


@pytest.fixture(scope="module")
def client(scorer: BundleScorer) -> Iterator[TestClient]:
    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, Options(online=False))) as one:
        yield one


@pytest.fixture(scope="module")
def rows(scorer: BundleScorer) -> list[dict[str, Any]]:
    return golden_rows(scorer.bundle.path, scorer.bundle.manifest)


def test_contributions_sum_to_the_margin_of_the_score(client: TestClient, rows: list[dict[str, Any]]) -> None:
    answer = client.post("/explain", json={"instances": rows[:7]})
    assert answer.status_code == 200, answer.text
    scores = client.post("/predict", json={"instances": rows[:7]}).json()["probabilities"]
    for one, score in zip(answer.json()["explanations"], scores, strict=True):
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["margin"], abs=1e-9)
        assert 1 / (1 + np.exp(-one["margin"])) == pytest.approx(score, abs=1e-6)
        assert set(one["contributions"]) == set(rows[0])


def expected(tree: dict[str, Any], row: dict[str, float], known: frozenset[str]) -> float:
    """A tree's value where only some features are known; others go both ways, as often as training rows did."""
    if "leaf" in tree:
        return float(tree["leaf"])
    children = {one["nodeid"]: one for one in tree["children"]}
    if tree["split"] in known:
        value = row[tree["split"]]
        way = "missing" if np.isnan(value) else "yes" if value < tree["split_condition"] else "no"
        return expected(children[tree[way]], row, known)
    total = sum(one["cover"] for one in children.values())
    return sum(one["cover"] / total * expected(one, row, known) for one in children.values())


def shapley(trees: list[dict[str, Any]], row: dict[str, float], name: str) -> float:
    others, n = [one for one in row if one != name], len(row)
    found = 0.0
    for size in range(n):
        weight = factorial(size) * factorial(n - size - 1) / factorial(n)
        for some in combinations(others, size):
            without = frozenset(some)
            gains = (expected(tree, row, without | {name}) - expected(tree, row, without) for tree in trees)
            found += weight * sum(gains)
    return found


def test_they_are_shapley_values(tmp_path: Path) -> None:
    names = ["visit.price", "visit.items", "visit.member", "traffic.visits_3h"]
    params = {"max_depth": 3}
    trees = {"kind": "xgboost", "inputs": names, "num_boost_round": 4, "params": params}
    graph = fit(make_config({"trees": trees}), write_training_set(tmp_path / "training_set.parquet"))
    component = graph.components["trees"]
    assert isinstance(component, XGBoost)
    booster: xgboost.Booster = component._booster
    dump = [json.loads(one) for one in booster.get_dump(dump_format="json", with_stats=True)]
    draw = np.random.default_rng(2)
    columns = {name: draw.normal(10, 8, 5) for name in names}
    columns["visit.price"][0] = np.nan
    found = graph.explain(columns)
    assert found is not None
    for number in range(5):
        row = {name: float(np.float32(columns[name][number])) for name in names}
        for name in names:
            assert found.contributions[name][number] == pytest.approx(shapley(dump, row, name), abs=1e-5)


def test_rows_are_limited_and_refusals_are_those_of_predict(client: TestClient, rows: list[dict[str, Any]]) -> None:
    assert "at most 7" in client.post("/explain", json={"instances": rows[:8]}).text
    assert client.post("/explain", json={"instances": [{**rows[0], "visit.price": "x"}]}).status_code == 422


def test_a_model_that_cannot_be_explained_says_so(
    scorer: BundleScorer, client: TestClient, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (trees,) = scorer.bundle.graph.components.values()
    monkeypatch.setattr(trees, "_task", "multiclass")
    answer = client.post("/explain", json={"instances": rows[:1]})
    assert (answer.status_code, "cannot be explained" in answer.text) == (422, True)


def test_the_request_of_the_card_is_answered_as_it_is_pasted(scorer: BundleScorer, client: TestClient) -> None:
    card = (scorer.bundle.path / "card.md").read_text()
    (body,) = re.findall(r"^\$ curl localhost:3000/predict .* -d '(.*)'$", card, re.MULTILINE)
    (row,) = json.loads(body)["instances"]
    assert row["visit.price"] == pytest.approx(20, abs=2)
    assert isinstance(row["visit.items"], int)
    assert isinstance(row["visit.member"], bool)
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert 0.05 < answer.json()["probabilities"][0] < 0.95
