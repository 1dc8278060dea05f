"""`kedro features search` and `describe` over the configuration of a project and its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proml_kedro.marketplace.build import open_market
from proml_kedro.project import Project
from read_only import read_only


def found(project: Any, *arguments: str) -> dict[str, Any]:
    done = project.features("search", "--json", *arguments)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def names(project: Any, *arguments: str) -> list[str]:
    return [one["name"] for one in found(project, *arguments)["features"]]


def result(project: Any, file: str, content: dict[str, Any]) -> None:
    path: Path = project.data / "shop" / "trees" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_search_as_people_read_it(read_project):
    done = read_project.features("search", "amount last", "--entity", "user", "--type", "numerical")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["feature", "type", "window", "key", "owner", "found", "in", "description"]
    row = "spending.amount_2h float 2h user,item shop@example.com name, description, window mean amount, last 2h"
    assert lines[1].split() == row.split()
    assert lines[-1].startswith("1 of 8 features, ")
    assert lines[-1].endswith(" ms")
    nothing = read_project.features("search", "zzz", "area").stdout.splitlines()
    assert nothing[0] == "not together; alone: zzz 0, area 1"
    assert nothing[1].startswith("0 of 8 features, ")


def test_a_reader_reads_where_nothing_can_be_written(read_project):
    result(read_project, "importance.json", {"visit.pages": 0.5})
    with read_only(read_project.data):
        assert found(read_project, "area")["total"] == 1
        done = read_project.features("describe", "region.area")
        assert done.exit_code == 0, done.output
        read_project.features("validate")
        assert not list(read_project.data.rglob("*index*"))


def test_only_what_was_declared_of_a_feature_is_searched_and_a_hit_says_where(read_project):
    owned = names(read_project, "--owner", "shop@example.com")
    assert found(read_project, "shop")["total"] == len(owned), "owners, no problem"
    assert found(read_project, "numerical")["total"] == 0, "a type is a filter"
    [area] = found(read_project, "are")["features"]
    assert (area["name"], area["found_in"]) == ("region.area", ["name"])
    assert {tuple(one["found_in"]) for one in found(read_project, "example")["features"]} == {("owner",)}
    assert all(one["found_in"] == [] for one in found(read_project)["features"])


def test_search_with_every_filter(read_project):
    assert names(read_project, "--owner", "shop@example.com", "--window", "24h") == ["spending.visits_1d"]
    assert names(read_project, "--window", "all") == ["spending.amount_all"]
    assert names(read_project, "--dtype", "bool", "--entity", "request") == ["visit.is_big"]
    assert len(names(read_project, "--limit", "2")) == 2
    assert found(read_project, "--limit", "2")["total"] == 8


def test_mistakes_in_filters_are_answered_at_once(read_project):
    done = read_project.features("search", "--owner", "shop@exmple.com", "--window", "x", "--entity", "usr")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "option --entity: no entity 'usr'. Did you mean 'user'?",
        "option --owner: no owner 'shop@exmple.com'. Did you mean 'shop@example.com'?",
        "option --window: cannot read 'x' as a duration; write a number and a unit: 30s, 15m, 3h, 7d, 2w",
    ]


def test_a_mistake_in_the_configuration_is_answered_as_in_a_run(read_project):
    done = read_project.features("search", "price", "sed=1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "override 'sed=1': sed: unknown key. Did you mean 'seed'?\n"


def test_overrides_are_part_of_what_is_searched(read_project):
    assert names(read_project, "weight") == []
    added = "+features.price.features.weight={dtype: float, description: in kg}"
    assert names(read_project, "weight", added) == ["price.weight"]


def test_the_index_is_kept_until_something_changes(project):
    names(project)
    [index] = (project.data / "features").glob("*.sqlite")
    made = index.stat().st_mtime_ns
    assert names(project, "area") == ["region.area"]
    assert [one.stat().st_mtime_ns for one in (project.data / "features").glob("*.sqlite")] == [made]
    project.edit("features/shop.yaml", "area: {dtype: str}", "area: {dtype: str, description: part of the town}")
    assert names(project, "town") == ["region.area"]
    [other] = (project.data / "features").glob("*.sqlite")
    assert other != index


def test_results_are_part_of_what_is_found(project):
    assert found(project, "price list")["features"][0]["null_share"] is None
    result(project, "training_set/training_set.json", {"rows": 8, "null_share": {"price.price": 0.5}})
    result(project, "evaluation/importance.json", {"price.price": 0.125})
    result(
        project,
        "bundle/proml.yaml",
        {"name": "shop-trees", "version": "v1", "schema": {"inputs": [{"name": "price.price"}]}},
    )
    [price] = found(project, "price list")["features"]
    assert (price["null_share"], price["importance"], price["bundles"]) == (0.5, 0.125, "shop-trees:v1")


def test_who_reads_a_feature(project):
    models = {one["name"]: one["models"] for one in found(project)["features"]}
    # The package's own models read every feature; `trees` is the project's and reads some.
    assert {"logistic", "trees", "xgboost"} <= set(models["price.price"].split(","))
    assert {"logistic", "xgboost"} <= set(models["region.area"].split(",")) - {"trees"}
    assert "trees" not in models["region.area"].split(",")
    project.write("model/foreign.yaml", "components: {a: {kind: logistic, inputs: [planes.seats]}}\nscore: a\n")
    assert {one["name"]: one["models"] for one in found(project)["features"]} == models, "not for this problem"


def test_every_problem_is_searched(project):
    project.write("problem/cafe.yaml", (project.conf / "problem/shop.yaml").read_text())
    project.write("features/cafe.yaml", "visit: {source: request, features: {cups: {dtype: int}}}\n")
    assert names(project, "cups") == ["visit.cups"]
    [cups] = found(project, "cups")["features"]
    assert (cups["problem"], cups["place"]) == ("cafe", "conf/features/cafe.yaml:1")
    assert found(project)["total"] == 9
    assert found(project, "problem=cafe", "model=logistic")["total"] == 1, "an override chooses one"


def test_a_broken_problem_is_named_and_left_out(project):
    project.write("problem/cafe.yaml", (project.conf / "problem/shop.yaml").read_text())
    project.write("features/cafe.yaml", "visit: {source: request, features: {cups: {dtype: itn}}}\n")
    for _ in range(2):  # the second time too, though an index could have been kept
        done = project.features("search", "price list")
        assert done.exit_code == 0, done.output
        assert "price.price" in done.stdout
        [line] = done.stderr.splitlines()
        assert line.startswith("problem 'cafe' is left out: ")


def test_describe(read_project):
    done = read_project.features("describe", "spending.amount_2h")
    assert done.exit_code == 0, done.output
    shown = dict(line.strip().split("  ", 1) for line in done.stdout.splitlines()[1:])
    shown = {name: value.strip() for name, value in shown.items()}
    assert done.stdout.startswith("spending.amount_2h\n")
    assert shown["definition"] == "mean(amount) from visits"
    assert shown["window"] == "2h, changes every 30m"
    assert shown["declared at"] == "conf/features/shop.yaml:22"
    assert shown["known after"] == "1h"
    assert shown["lineage"].startswith("visits.parquet [visits] -> spending -> spending.amount_2h -> ")
    assert shown["lineage"].endswith("logistic, trees, xgboost")
    assert shown["newest"] == "not computed yet: `kedro run --pipelines=features`"
    assert shown["similar"].startswith("spending.amount_all (")


def test_describe_with_feature_tables(project, shop):
    table = project.data / "shop" / "feature_tables"
    table.parent.mkdir(parents=True)
    table.symlink_to(shop.views)
    content = json.loads(project.features("describe", "spending.visits_1d", "--json").stdout)
    assert content["rows"] > 100
    assert content["newest"].startswith("2024-0")
    assert "does not change (" in project.features("describe", "region.area").stdout
    assert "newest" not in project.features("describe", "visit.hour").stdout


def test_describe_an_unknown_feature(read_project):
    done = read_project.features("describe", "spending.amount_3h")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "no feature 'spending.amount_3h'. Did you mean 'spending.amount_2h'?\n"


def test_a_second_search_reads_the_index_that_is_there(project):
    """It must not compose every problem and model, and index them, again."""
    arguments = (str(project.conf), [f"data_dir={project.data}"])
    open_market(Project(*arguments))
    [index] = (project.data / "features").glob("market-*.sqlite")
    before = index.stat().st_mtime_ns
    market, notices = open_market(Project(*arguments))
    assert (market.search("price").total > 0, notices) == (True, [])
    assert index.stat().st_mtime_ns == before


def test_a_model_that_reads_a_key_reads_its_features_too(project: Any) -> None:
    project.edit("model/trees.yaml", "[price.price,", "[price.price, user,")
    found = project.features("describe", "price.price")
    assert found.exit_code == 0, found.output
    assert "trees" in next(line for line in found.output.splitlines() if "lineage" in line)
