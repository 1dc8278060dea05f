"""`kedro features get`, `check` and `validate` on the store of a shop."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.commands.entity import parse_moment, split_words
from proml_kedro.errors import UserError
from proml_kedro.features.feast.materialize import materialize_new
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)
AT = END.isoformat()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """A project whose store is filled as a run would."""
    import yaml

    folder = tmp_path_factory.mktemp("filled")
    shop = Shop(folder)
    (shop.data / "shop" / "tables").symlink_to(shop.tables)
    project = make_project(folder)
    project.write("features/shop.yaml", yaml.safe_dump(FEATURES, sort_keys=False))
    project.edit("model/trees.yaml", "[price.price, ", "[price.price, price.label, region.area, ")
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(
        store, shop.problem, FeaturesSpec.model_validate(FEATURES), "shop_trees", shop.features.columns(), shop.views
    )
    materialize_new(store, shop.views, ["price", "region", "spending"], END, HARDWARE)
    return project


def get(project: Any, *arguments: str) -> dict[str, Any]:
    done = project.features("get", "--json", *arguments)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_values_of_an_entity_with_their_moments(filled):
    content = get(filled, "user=1", "item=i1", "--at", AT)
    assert content["as_of"] == AT
    features = content["features"]
    declared = FeaturesSpec.model_validate(FEATURES).columns()
    assert set(features) == {name for name in declared if not name.startswith(("visit.", "gaps."))}
    assert features["region.area"] == {"value": "east", "moment": "1970-01-01T00:00:00+00:00", "state": "good"}
    assert features["spending.amount_all"]["value"] > 0
    assert features["spending.amount_all"]["moment"] < AT


def test_only_features_whose_keys_are_given(filled):
    assert set(get(filled, "user=1", "--at", AT)["features"]) == {"region.area"}
    assert set(get(filled, "item=i1", "--at", AT)["features"]) == {"price.price", "price.label", "taste.embedding"}
    chosen = get(filled, "user=1", "item=i1", "--features", "price.*", "--features", "*.area", "--at", AT)
    assert set(chosen["features"]) == {"price.price", "price.label", "region.area"}


def test_why_a_value_is_missing(filled):
    good = get(filled, "item=i1", "--at", AT)["features"]["price.price"]
    fresh = get(filled, "item=i1", "--at", good["moment"])["features"]["price.price"]
    assert (fresh["state"], fresh["value"]) == ("good", good["value"])
    old = get(filled, "item=i1", "--at", "2024-06-01")["features"]["price.price"]
    assert old == {"value": None, "moment": good["moment"], "state": "expired"}
    early = get(filled, "item=i1", "--at", "2023-01-01T00:00Z")["features"]["price.price"]
    assert early == {"value": None, "moment": good["moment"], "state": "later"}
    new = get(filled, "user=77", "item=i1", "--at", AT)["features"]
    assert new["region.area"] == {"value": None, "moment": None, "state": "unknown"}
    assert new["spending.visits_1d"] == {"value": 0.0, "moment": None, "state": "unknown"}, "nothing happened: 0"


def test_values_as_people_read_them(filled):
    done = filled.features("get", "user=1", "--at", AT)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["feature", "value", "known", "since", "age"]
    assert lines[1].split()[:2] == ["region.area", "east"]
    assert lines[-1] == "as of 2024-03-22 13:37:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["usr=1"], "no entity 'usr'. Did you mean 'user'?"),
        (["user=me"], "'user' is not a whole number"),
        (["user=1", "--features", "price.prise"], "option --features: no stored feature 'price.prise'. Did you mean"),
        (["user=1", "--features", "price.price"], "no feature is kept by user; give item"),
        ([], "no feature is kept by no key; give item or user or user,item"),
        (["user=1", "--at", "noon"], "option --at: cannot read 'noon'; write it like 2013-12-31T20:00Z"),
        (["user"], "'user' is no KEY=VALUE; a key is written origin=JFK"),
        (["user=1", "sed=2"], "no entity 'sed'."),
        (["user=1", "model.score=x"], "no component 'x'"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(filled, arguments, message):
    done = filled.features("get", *arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_store(project):
    for command in (["get", "user=1"], ["check"]):
        done = project.features(*command)
        assert (done.exit_code, done.stderr) == (
            2,
            "there is no online store yet: `kedro run --pipelines=features,materialize` fills it\n",
        )


def test_a_store_behind_the_configuration(filled, tmp_path: Path, make_project: Any):
    import shutil

    shutil.copytree(filled.folder, tmp_path / "behind")
    project = make_project(tmp_path / "behind")
    added = "+features.fresh={key: user, source: {table: regions}, features: {x: {dtype: str, expression: area}}}"
    done = project.features("get", "user=1", "--features", "fresh.x", added)
    assert done.exit_code == 2
    lacks = "the online store lacks some of these features: `kedro run --pipelines=features,materialize`\n"
    assert done.stderr == lacks


def test_check_agrees_then_finds_what_is_wrong(filled, tmp_path: Path):
    done = filled.features("check", "--rows", "20")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("0 of ")
    file = filled.data / "feature_store" / "shop" / "online.db"
    kept = file.read_bytes()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute('DELETE FROM "shop.region"')
    connection.close()
    try:
        done = filled.features("check", "--json")
        assert done.exit_code == 1
        wrong = {one["feature"] for one in json.loads(done.stdout)["comparisons"] if one["mismatches"]}
        assert wrong == {"region.area"}
        shown = filled.features("check").stdout
        assert "missing" in shown
        assert "north" not in shown, "no values in a report"
    finally:
        file.write_bytes(kept)


def test_validate_exits_by_level(filled):
    known = filled.features("validate")
    assert known.exit_code == 1
    assert "error: visit.is_big: is computed from 'amount', and so is the label" in known.stdout
    sound = "problem.tables.visits.columns.is_big='hour(seen_at) > 12'"
    done = filled.features("validate", sound)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "conf/features/shop.yaml:" in lines[0]
    assert any("warning: visit.hour: has no description" in line for line in lines)
    assert lines[-1].startswith(f"{len(FeaturesSpec.model_validate(FEATURES).columns())} features: 0 errors, ")
    wrong = filled.features("validate", sound, "+features.price.features.late={dtype: int, expression: price}")
    assert wrong.exit_code == 1
    assert "error: price.late: the feature table lacks it: `kedro run --pipelines=features`" in wrong.stdout
    assert "error: price.late: declared int, but " in wrong.stdout


def test_keys_and_overrides_are_told_apart():
    words = ["origin=JFK", "carrier=a=b", "problem=x", "+a=1", "~b", "features.x.y=1", "seed=3"]
    entity, overrides = split_words(words, ["model=T1"])
    assert entity == {"origin": "JFK", "carrier": "a=b", "model": "T1"}
    assert overrides == ["problem=x", "+a=1", "~b", "features.x.y=1", "seed=3"]


def test_moments():
    assert parse_moment("2013-12-31T20:00Z") == datetime(2013, 12, 31, 20, tzinfo=UTC)
    assert parse_moment("2013-12-31T20:00+02:00") == datetime(2013, 12, 31, 18, tzinfo=UTC)
    assert parse_moment("2013-12-31") == datetime(2013, 12, 31, tzinfo=UTC)
    with pytest.raises(UserError):
        parse_moment("31.12.2013")
