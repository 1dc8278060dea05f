"""Runs of single pipelines start from the results of their own configuration, whatever was made last."""

from __future__ import annotations

import json

import pytest
import xgboost
import yaml

pytestmark = pytest.mark.e2e

DEPTH = "model.components.trees.params.max_depth"
QUICK = ("model.components.trees.num_boost_round=5", "~evaluation.baseline")


def test_a_model_is_packaged_under_the_configuration_that_made_it(shop):
    first = shop.run(*QUICK, f"{DEPTH}=2", "--pipelines=features,train")
    assert first.returncode == 0, first.stderr
    shallow = shop.result("trained_model").resolve()
    assert shop.run(*QUICK, f"{DEPTH}=5", "--pipelines=features,train").returncode == 0
    assert shop.result("trained_model").resolve() != shallow

    done = shop.run(*QUICK, f"{DEPTH}=2", "--pipelines=evaluate,package", "--to-nodes=write_bundle")
    assert done.returncode == 0, done.stderr
    manifest = yaml.safe_load((shop.result("bundle") / "proml.yaml").read_text())
    assert manifest["config"]["model"]["components"]["trees"]["params"]["max_depth"] == 2
    assert manifest["lineage"]["trained_model"] == shallow.name
    booster = xgboost.Booster(model_file=shop.result("bundle") / "components" / "trees" / "model.ubj")
    assert booster.trees_to_dataframe().groupby("Tree").size().max() <= 7, "nodes of a tree of depth 2"
    assert shop.result("trained_model").resolve() == shallow, "the links lead to what the last run was about"

    for pipeline in ("evaluate", "monitor"):
        lacking = shop.run(*QUICK, f"{DEPTH}=3", f"--pipelines={pipeline}")
        assert lacking.returncode == 2, lacking.stdout + lacking.stderr
        assert len(lacking.stderr.splitlines()) == 2, "that it begins, and why it ends"
        assert "there is no 'trained_model' for this configuration" in lacking.stderr
        assert f"the newest has {DEPTH}=2;" in lacking.stderr
        assert f" {DEPTH}=3 --pipelines=features,train`" in lacking.stderr


def test_values_go_online_as_their_own_configuration_declares_them(shop):
    """Registry and links were last set by another configuration, which has other features."""
    windows = "features.orders.features.spent.windows"
    assert shop.run(f"{windows}=[2d]", "--pipelines=features").returncode == 0
    tables = (shop.data / "shop" / "feature_tables").resolve()
    assert shop.run(f"{windows}=[5d]", "--pipelines=features").returncode == 0
    done = shop.run(f"{windows}=[2d]", "--pipelines=materialize")
    assert done.returncode == 0, done.stderr
    assert (shop.data / "shop" / "feature_tables").resolve() == tables
    compared = json.loads((shop.result("consistency") / "consistency.json").read_text())
    assert "orders.spent_2d" in {one["feature"] for one in compared["comparisons"]}
    assert compared["present"] > 0
    assert compared["mismatches"] == 0


@pytest.mark.parametrize(
    ("pipeline", "makes"),
    [("train", "features"), ("evaluate,package", "features,train"), ("materialize", "features"), ("monitor", None)],
)
def test_what_is_missing_is_made_by_a_command_to_copy(shop, pipeline, makes):
    done = shop.run("seed=3", "model.components.trees.inputs=[visit.pages,orders.*]", f"--pipelines={pipeline}")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2, "that it begins, and why it ends"
    assert "yet for this problem and model" in done.stderr
    typed = f"data_dir={shop.data} seed=3 'model.components.trees.inputs=[visit.pages,orders.*]'"
    assert f"kedro run --conf-source {shop.conf} {typed} --pipelines={makes or 'features,train'}`" in done.stderr
