"""What the page is told, and whom it is told."""

from __future__ import annotations

import pytest
import yaml

from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.workspace.app import PAGES, STATIC


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_the_same_file(site, path):
    answer = site.client().get(path)
    assert answer.status_code == 200
    assert answer.content == (STATIC / "index.html").read_bytes()
    assert answer.headers["content-type"].startswith("text/html")


def test_what_the_page_is_made_of_is_served_and_names_nothing_elsewhere(site):
    client = site.client()
    files = sorted(STATIC.iterdir())
    assert {one.suffix for one in files} == {".html", ".css", ".js", ".svg"}
    for file in files:
        assert client.get(f"/static/{file.name}").content == file.read_bytes()
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not [one for one in ("http:", "https:", "innerHTML", "eval(") if one in text], file.name


def test_every_answer_is_guarded(site):
    client = site.client()
    for path in ("/", "/api/search", "/api/feature?name=nope", "/static/app.js", "/nope"):
        headers = client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4242", "127.0.0.1", "127.0.0.1:80", "localhost.", ""])
def test_a_name_that_is_not_this_machines_is_refused(site, host):
    for path in ("/", "/api/search", "/reports/shop/trees/evaluation/report.md"):
        answer = site.client().get(path, headers={"host": host})
        assert answer.status_code == 421
        assert "shop" not in answer.text


def test_this_machine_has_two_names(site):
    for host in ("127.0.0.1:4242", "localhost:4242", "LOCALHOST:4242"):
        assert site.client().get("/api/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed(site, method):
    paths = (*PAGES, "/api/status", "/api/search", "/static/app.js", "/reports/shop/trees/evaluation/report.md")
    for path in paths:
        assert site.client().request(method, path).status_code == 405, path


def test_search(site):
    found = site.ask("search", q="amount", entity="user")
    assert (found["total"], found["of"]) == (2, site.features)
    assert {one["name"] for one in found["features"]} == {"spending.amount_2h", "spending.amount_all"}
    first = found["features"][0]
    assert first["name"] == "spending.amount_2h", "the one that a model reads"
    assert (first["readers"], first["window"], first["freshness"]) == (2, "2h", "over 30 days")
    assert found["milliseconds"] >= 0
    assert site.ask("search", q="price list")["alone"] == {"price": 2, "list": 0}


def test_a_facet_offers_other_values_than_the_chosen_one(site):
    dtypes = dict(site.ask("search")["facets"]["dtype"])
    narrowed = site.ask("search", dtype="bool")
    assert narrowed["total"] == dtypes["bool"]
    assert dict(narrowed["facets"]["dtype"]) == dtypes
    assert sum(count for _, count in narrowed["facets"]["entity"]) == dtypes["bool"]
    both = site.ask("search", q="visit", dtype="int", freshness="with the request")
    assert [one["name"] for one in both["features"]] == ["visit.hour"]
    assert dict(both["facets"]["dtype"]) == {"int": 1, "bool": 1, "vector[3]": 1}, "of those with the request"


def test_filters_by_nothing_and_by_freshness(site):
    nobodys = site.ask("search", owner="")
    assert nobodys["total"] == dict(nobodys["facets"]["owner"])[""]
    assert {one["name"] for one in site.ask("search", freshness="does not change")["features"]} == {"region.area"}
    assert {one["name"] for one in site.ask("search", freshness="with the request")["features"]} == {
        "visit.hour",
        "visit.is_big",
        "visit.wish",
    }
    on_demand = site.ask("search", freshness="on demand")["features"]
    assert {one["name"].partition(".")[0] for one in on_demand} == {"gaps"}
    assert all(one["on_demand"] for one in on_demand)
    assert site.ask("search", freshness="never")["total"] == 0


def test_values_of_a_facet_have_an_order(site):
    facets = site.ask("search")["facets"]
    assert [value for value, _ in facets["window"]] == ["", "2h", "1d", "all"], "by length"
    counts = [count for _, count in facets["dtype"]]
    assert counts == sorted(counts, reverse=True)


def test_the_chosen_value_is_always_there(site):
    assert ["nobody", 0] in site.ask("search", owner="nobody")["facets"]["owner"]
    assert site.ask("search", window="soon")["facets"]["window"][-1] == ["soon", 0]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "1.5", ""])
def test_a_limit_that_is_none(site, limit):
    answer = site.client().get("/api/search", params={"limit": limit})
    assert answer.status_code == 400
    assert answer.json() == {"message": "limit must be a number from 1 to 500"}


def test_feature(site):
    one = site.ask("feature", name="price.price", problem="shop")
    assert one["models"] == ["trees"]
    assert one["importances"] == {"trees": 0.6}
    assert one["drifts"]["trees"]["message"] == "nulls 0.0% → 12.7%"
    assert (one["drift"], one["definition"]) == ("warn", "price from prices")
    assert one["rows"] > 100
    assert one["newest"].startswith("2024-0")
    assert site.ask("feature", name="region.area")["drifts"] == {}


def test_what_on_demand_features_are_computed_from(site):
    gap = site.ask("feature", name="gaps.gap")
    assert gap["reads"] == ["price.price", "spending.amount_2h"]
    assert gap["read_by"] == ["gaps.late_gap"]
    assert (gap["on_demand"], gap["newest"], gap["freshness"]) == (True, None, "on demand")
    assert (gap["readers"], site.ask("feature", name="price.price")["readers"]) == (1, 2)
    assert site.ask("feature", name="price.price")["read_by"] == ["gaps.gap"]
    assert site.ask("feature", name="visit.hour")["reads"] == []


def test_yaml_of_every_feature_is_a_declaration_of_it(site):
    for feature in site.ask("search", limit=100)["features"]:
        one = site.ask("feature", name=feature["name"])
        spec = FeaturesSpec.model_validate(yaml.safe_load(one["yaml"]))
        assert feature["name"] in spec.columns()
        assert spec.columns()[feature["name"]] == feature["dtype"]
        [view] = spec.views.values()
        declared = site.shop.features.views[one["view"]]
        [(name, alone)] = view.features.items()
        assert declared.features[name] == alone
        assert declared.model_copy(update={"features": {name: alone}}) == view


@pytest.mark.parametrize("what", ["feature", "distribution", "similar"])
def test_a_feature_that_is_not_there(site, what):
    for params in ({"name": "price.prise"}, {"name": "price.price", "problem": "cafe"}, {}):
        answer = site.client().get(f"/api/{what}", params=params)
        assert answer.status_code == 404
        assert answer.json()["message"].startswith("no feature '")


def test_models_and_health(site):
    [model] = site.ask("models")
    assert (model["problem"], model["model"], model["unreadable"]) == ("shop", "trees", [])
    assert model["metrics"]["candidate"] == {"auc": 0.8, "logloss": 0.5}
    assert model["metrics"]["baseline"] == {"auc": 0.7, "logloss": None}
    assert model["metrics"]["differences"]["auc"]["low"] == 0.05
    assert model["higher_is_better"] == {"auc": True, "logloss": False}
    assert model["importance"][0] == ["price.price", 0.6]
    assert model["features"] == ["price.price", "spending.amount_2h"]
    assert model["metrics"]["ranking"]["without_positive"] == 12
    split = model["training_set"]["splits"]["train"]
    assert (split["label_mean"], split["start"][:10]) == (0.2, "2024-03-01")
    assert model["reports"]["evaluation"] == ["importance.json", "metrics.json", "report.md"]
    [checked] = site.ask("health")
    assert (checked["drift"]["verdict"], checked["drift"]["columns"][0]["reasons"]) == ("warn", ["nulls"])
    assert checked["consistency"]["mismatches"] == 2
    assert checked["features"] == ["price.price"], "the score is none"


def test_before_anything_was_run(bare):
    assert (bare.ask("models"), bare.ask("health")) == ([], [])
    assert bare.ask("search")["total"] == bare.features
    assert bare.ask("distribution", name="visit.hour") == {"nothing": "No values yet: a run computes them."}


def test_reports(site):
    answer = site.client().get("/reports/shop/trees/evaluation/report.md")
    assert answer.text == "# trees on the test period\n"
    assert answer.headers["content-type"].startswith("text/plain")
    drift = site.client().get("/reports/shop/trees/drift/drift.html")
    assert drift.headers["content-type"].startswith("text/html")
    policy = drift.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-popups; default-src 'none'"), "an origin of its own"
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "shop/trees/evaluation/..%2f..%2f..%2fsecret.md",
        "shop/trees/evaluation/%2e%2e/secret.md",
        "shop/trees/..%2ftrees%2fevaluation/report.md",
        "shop/..%2fshop%2ftrees/evaluation/report.md",
        "..%2fshop/trees/evaluation/report.md",
        "shop/trees/evaluation/link.md",
        "shop/trees/evaluation/secret.parquet",
        "shop/trees/training_set/training_set.json",
        "shop/trees/evaluation/report.md%00",
        "shop/trees/nope/report.md",
    ],
)
def test_no_path_leads_to_other_files(site, path):
    site.result("../../secret.md", "secret")
    site.result("evaluation/secret.parquet", "secret")
    (site.data / "shop" / "trees" / "evaluation" / "link.md").symlink_to(site.data / "secret.md")
    answer = site.client().get(f"/reports/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text
    for attempt in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert site.client().get(attempt).status_code == 404
