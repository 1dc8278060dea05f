"""Which stored results a run starts from: those of its own configuration that were made from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.spec import RunSpec
from proml_kedro.workflow.code import TRAINING_SET
from proml_kedro.workflow.plan import pipelines_for
from proml_kedro.workflow.recipes import recipes_of
from proml_kedro.workflow.stored import explain_missing, find
from small import make_config

LINEAR = {"name": "linear", "components": {"linear": {"kind": "logistic", "inputs": ["*"]}}, "score": "linear"}
EVERYTHING = ("tables", "feature_tables", "training_set", "trained_baseline", "trained_model", "evaluation", "bundle")


def changed(key: str = "", value: Any = None) -> RunSpec:
    """The configuration of the small problem beside a baseline, one value changed."""
    config = make_config()
    config["evaluation"]["baseline"] = LINEAR
    *parents, last = key.split(".")
    node = config
    for part in parents:
        node = node[part]
    if last:
        node[last] = value
    return RunSpec.model_validate(config)


def make(store: ArtifactStore, run: RunSpec, data: str = "first", only: tuple[str, ...] = EVERYTHING) -> dict[str, Any]:
    """Make the results of a configuration from some data, or take over those that are there."""
    made: dict[str, Artifact] = {}
    for name, recipe in recipes_of(run).items():
        if name in only:
            inputs = {below: made[below] for below in recipe.of} | ({"data": data} if name == "tables" else {})
            made[name] = store.build(recipe, inputs, lambda folder: (folder / "content").write_text("whole"))
    return made


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


CHANGES = [
    ("model.components.trees.num_boost_round", 21, "trained_model"),
    ("evaluation.baseline", None, "trained_baseline"),
    ("evaluation.compare", {"confidence": 0.9}, "evaluation"),
    ("seed", 3, "trained_model"),
    ("hardware.precision", "float64", "trained_model"),
    ("problem.split.test_from", "2024-03-02", "training_set"),
    ("features.traffic.features.visits.windows", ["4h", "all"], "feature_tables"),
    ("problem.examples.lead_time", "2h", "tables"),
    ("serving.golden_rows", 21, "bundle"),
]


@pytest.mark.parametrize(("key", "value", "first"), CHANGES, ids=lambda value: str(value)[:40])
def test_what_the_newest_run_has_made_by_another_configuration_is_not_taken(store, key, value, first):
    ours, theirs = changed(), changed(key, value)
    mine = make(store, ours)
    assert first not in find(store, recipes_of(theirs), EVERYTHING)
    others = make(store, theirs)
    assert find(store, recipes_of(ours), EVERYTHING) == mine
    assert find(store, recipes_of(theirs), EVERYTHING) == others
    assert mine[first] != others[first]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("monitoring.report_rows", 700),
        ("serving.max_rows", 7),
        ("hardware.threads", 2),
        ("online_store", "redis://h:1/0"),
    ],
)
def test_edits_that_do_not_concern_a_result_leave_it_fit(store, key, value):
    mine = make(store, changed())
    wanted = EVERYTHING[:-1]  # the bundle holds the whole configuration
    assert find(store, recipes_of(changed(key, value)), wanted) == {name: mine[name] for name in wanted}


def test_a_model_brings_the_training_set_that_it_was_fitted_to(store):
    mine = make(store, changed())
    make(store, changed(), data="second", only=("tables", "feature_tables", "training_set"))
    assert find(store, recipes_of(changed()), ("training_set", "trained_model"))["training_set"] == mine["training_set"]
    assert find(store, recipes_of(changed()), ("training_set",))["training_set"] != mine["training_set"]


def test_a_baseline_fitted_to_other_data_is_passed_over(store):
    mine = make(store, changed())
    make(store, changed(), data="second", only=EVERYTHING[:4])
    wanted = ("trained_model", "trained_baseline")
    assert find(store, recipes_of(changed()), wanted) == {name: mine[name] for name in wanted}


def test_what_was_taken_over_last_is_the_newest(store):
    mine = make(store, changed())
    make(store, changed(), data="second")
    make(store, changed())
    assert find(store, recipes_of(changed()), EVERYTHING) == mine


def test_a_result_of_which_a_file_is_gone_is_none(store):
    mine = make(store, changed())
    mine["trained_model"].file("content").unlink()
    assert find(store, recipes_of(changed()), ("trained_model",)) == {}
    message = explain_missing(store, recipes_of(changed()), ["trained_model"], mine)
    assert message == "there is no 'trained_model' for this configuration: files of the newest are gone"


@pytest.mark.parametrize(
    ("key", "value", "difference"),
    [
        ("model.components.trees.num_boost_round", 21, "model.components.trees.num_boost_round=20"),
        ("model.components.trees.params", {"max_depth": 3}, "model.components.trees.params.max_depth=null"),
        ("problem.split.test_from", "2024-03-02", "problem.split.test_from=2024-03-01T00:00:00"),
        ("seed", 3, "seed=0"),
        ("hardware.precision", "float64", "hardware.precision=float32"),
    ],
)
def test_it_is_told_what_the_newest_has_instead(store, key, value, difference):
    mine = make(store, changed())
    message = explain_missing(store, recipes_of(changed(key, value)), ["trained_model"], mine)
    assert message == f"there is no 'trained_model' for this configuration: the newest has {difference}"


def test_what_does_not_exist_yet_is_said_so(store):
    message = explain_missing(store, recipes_of(changed()), ["training_set", "trained_model"], {})
    assert message == "there is no 'training_set' yet for this problem and model"


def test_the_pipelines_that_make_it():
    assert pipelines_for(["training_set"]) == ["features"]
    assert pipelines_for(["training_set", "trained_model"]) == ["features", "train"]
    assert pipelines_for(["evaluation"]) == ["features", "train", "evaluate"]
    assert pipelines_for(["online_values"]) == ["features", "materialize"]


def test_results_are_shared_by_problems_that_differ_in_label_and_name_alone(store):
    mine = make(store, changed())
    config = changed().model_dump(mode="json")
    config["problem"] |= {"name": "returns", "description": "another", "label": {"expression": "amount > 5"}}
    config["features"]["traffic"] |= {"owner": "somebody", "description": "the same", "tags": {"a": "b"}}
    config["features"]["traffic"]["features"]["visits"]["description"] = "in other words"
    theirs = make(store, RunSpec.model_validate(config))
    shared = {name for name, one in mine.items() if theirs[name] == one}
    assert shared == {"tables", "feature_tables"}


def with_inputs(*patterns: str) -> RunSpec:
    return changed("model.components.trees.inputs", list(patterns))


def make_with_parts(store: ArtifactStore, run: RunSpec, data: str = "first") -> dict[str, Artifact]:
    """Make results up to the evaluation as the steps do: models from their part of the training set."""
    made = make(store, run, data, only=("tables", "feature_tables", "training_set"))
    recipes = recipes_of(run)
    for name in ("trained_baseline", "trained_model"):
        part = store.part(made["training_set"], recipes[name].of["training_set"], TRAINING_SET)
        made[name] = store.build(recipes[name], {"training_set": part}, lambda folder: (folder / "c").write_text("w"))
    inputs = {name: made[name] for name in recipes["evaluation"].of}
    made["evaluation"] = store.build(recipes["evaluation"], inputs, lambda folder: (folder / "c").write_text("w"))
    return made


def test_a_baseline_that_reads_the_same_stays_when_the_model_reads_more(store):
    few = with_inputs("visit.price")
    few = few.model_copy(update={"evaluation": _baseline_reads(few, "visit.price")})
    more = with_inputs("visit.*", "traffic.*")
    more = more.model_copy(update={"evaluation": _baseline_reads(more, "visit.price")})
    mine, theirs = make_with_parts(store, few), make_with_parts(store, more)
    assert mine["trained_baseline"] == theirs["trained_baseline"]
    for name in ("training_set", "trained_model", "evaluation"):
        assert mine[name] != theirs[name], name
    wanted = ("training_set", "trained_model", "trained_baseline", "evaluation")
    assert find(store, recipes_of(more), wanted) == {name: theirs[name] for name in wanted}
    assert find(store, recipes_of(few), wanted) == {name: mine[name] for name in wanted}
    record = store.made_of(mine["trained_baseline"])["training_set"]
    assert record.path == mine["training_set"].path
    make(store, more, "second", only=("tables", "feature_tables", "training_set"))
    assert find(store, recipes_of(more), wanted) == {name: theirs[name] for name in wanted}


def _baseline_reads(run: RunSpec, pattern: str) -> Any:
    evaluation = run.evaluation.model_dump(mode="json")
    evaluation["baseline"]["components"]["linear"]["inputs"] = [pattern]
    return type(run.evaluation).model_validate(evaluation)
