"""Results that the catalog moves: who makes them, and everybody who reads them, follows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kedro_process import run_kedro
from proml_kedro import open_project
from proml_kedro.marketplace.build import open_market
from proml_kedro.results import NAMES, PER_MODEL
from proml_kedro.results.names import table_file
from proml_kedro.workspace.results import read_results, report_file

pytestmark = pytest.mark.e2e

EVERYTHING = "--pipelines=features,train,evaluate,bundle,monitor,materialize,package"
MOVED = [f"catalog.{name}.filepath=${{data_dir}}/elsewhere/{name}" for name in NAMES]


def features(shop: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`kedro features …` on the shop, with its results moved."""
    options = ["--conf-source", str(shop.conf), f"data_dir={shop.data}", *MOVED]
    return run_kedro(["features", *arguments, *options], Path(__file__).parents[2], shop.environment)


def registered(shop: Any) -> dict[str, str]:
    """The file of each registered source."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    registry = Registry()
    registry.ParseFromString((shop.data / "feature_store" / "registry.db").read_bytes())
    return {one.name: one.file_options.uri for one in registry.data_sources if one.file_options.uri}


@pytest.mark.slow
def test_an_older_link_at_the_default_place_is_not_registered(shop: Any) -> None:
    older = shop.run("--pipelines=features")
    assert older.returncode == 0, older.stderr
    default = shop.data / "shop" / "feature_tables"
    before = default.resolve()
    shop.edit("conf/features/shop.yaml", "windows: [7d, all]", "windows: [3d, all]")
    moved = shop.run("--pipelines=features", *MOVED)
    assert moved.returncode == 0, moved.stderr
    made = (shop.data / "elsewhere" / "feature_tables").resolve()
    assert registered(shop) == {"orders_table": str(table_file(made, "orders"))}
    assert default.resolve() == before, "the older one stays what it was"
    assert made != before


@pytest.mark.slow
def test_every_result_can_be_moved_and_every_reader_finds_it(shop: Any) -> None:
    done = shop.run(*MOVED, EVERYTHING)
    assert done.returncode == 0, done.stderr
    elsewhere = shop.data / "elsewhere"
    assert sorted(one.name for one in elsewhere.iterdir()) == sorted(NAMES)
    assert not (shop.data / "shop").exists(), "nothing lies at the default places"
    for name, file in (("evaluation", "report.md"), ("bundle", "card.md"), ("drift", "drift.html")):
        assert f"{elsewhere / name / file}\n" in done.stdout
    assert f"kedro serve {elsewhere / 'bundle'}\n" in done.stdout
    assert registered(shop) == {"orders_table": str(table_file((elsewhere / "feature_tables").resolve(), "orders"))}
    run_yml = yaml.safe_load((elsewhere / "bundle" / "run.yml").read_text())
    assert run_yml["run"]["params"]["resolved"] == str(elsewhere / "bundle" / "proml.yaml")

    project = open_project(shop.folder, f"data_dir={shop.data}", *MOVED)
    assert {name: project.places.at(name) for name in NAMES} == {name: elsewhere / name for name in NAMES}
    [found] = read_results(project.places)
    assert (found.problem, found.model, found.unreadable) == ("shop", "xgboost", ())
    assert None not in (found.metrics, found.training_set, found.drift, found.consistency)
    assert found.bundle
    report = report_file(project.places, "shop", "xgboost", "evaluation", "report.md")
    assert report == elsewhere / "evaluation" / "report.md"
    market, notices = open_market(project)
    [entry] = market.get("orders.spent_7d")
    assert notices == []
    assert (entry.null_share, bool(entry.importance), bool(entry.bundles)) != (None, False, False)

    described = features(shop, "describe", "orders.spent_7d")
    assert described.returncode == 0, described.stderr
    assert "not computed" not in described.stdout
    checked = features(shop, "check")
    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert "has no value" not in features(shop, "validate").stdout

    later = shop.run("--pipelines=evaluate", *MOVED)
    assert later.returncode == 0, later.stderr
    shop.edit("conf/features/shop.yaml", "windows: [7d, all]", "windows: [3d, all]")
    refused = shop.run("--pipelines=features", *MOVED)
    assert refused.returncode == 2
    assert f"and the bundle {elsewhere / 'bundle'} (shop-xgboost:" in refused.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_catalog_with_names_in_another_order(shop: Any, name: str) -> None:
    model = "/${model.name}" if name in PER_MODEL else ""
    override = f"catalog.{name}.filepath=${{data_dir}}/by_result/{name}{model}/${{problem.name}}"
    places = open_project(shop.folder, f"data_dir={shop.data}", override).places
    assert places.at(name) == Path(shop.data, "by_result", name, *(["xgboost"] if model else []), "shop")
    assert places.at(name, "other") == Path(shop.data, "by_result", name, *(["xgboost"] if model else []), "other")
