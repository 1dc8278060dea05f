"""Components that stay as an earlier bundle has them, and what is refused of such bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proml_kedro.artifacts import Artifact, Recipe
from proml_kedro.bundle import Bundle
from proml_kedro.errors import UserError
from proml_kedro.results import FitSummary, TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.spec import RunSpec
from proml_kedro.spec.run import check
from proml_kedro.workflow import Run
from proml_kedro.workflow.steps.train import train_model
from small import XGBOOST, make_bundle, make_config, write_training_set

LAST = {"kind": "linear", "inputs": ["trees.margin", "visit.price"]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("earlier"))


def spec_of(bundle: Path, components: dict[str, Any] | None = None, **training: Any) -> RunSpec:
    config = make_config(components or {**XGBOOST, "last": LAST})
    config["model"]["training"] |= {"warm_start": str(bundle), "locked": ["trees"], **training}
    return RunSpec.model_validate(config)


def train(spec: RunSpec, folder: Path) -> Artifact:
    def write(into: Path) -> None:
        write_training_set(examples_file(into), 1200)
        TrainingSetFacts(1200).write(into)

    run = Run.of(spec, folder)
    return train_model(run, run.store.build(Recipe("training_set", {}), {}, write))


def test_a_locked_component_stays_and_says_that_it_has_seen_rows(bundle: Path, tmp_path: Path) -> None:
    earlier = Bundle.load(bundle)
    made = train(spec_of(bundle), tmp_path)
    before, after = (folder / "trees/model.ubj" for folder in (bundle / "components", made.path))
    assert after.read_bytes() == before.read_bytes(), "there are fewer rows, so trees of its own would be others"
    summary = FitSummary.read(made.path)
    assert summary.components["trees"]["locked"]
    assert summary.notes() == [
        "trees: locked: what it says of rows that the earlier model has learned from is not out of fold"
    ]
    assert "locked" not in summary.components["last"]
    assert earlier.graph.components["trees"].summary()["trees"] == summary.components["trees"]["trees"]


def test_without_it_the_component_is_fitted(bundle: Path, tmp_path: Path) -> None:
    made = train(spec_of(bundle, locked=[], warm_start=None), tmp_path)
    assert (made.path / "trees/model.ubj").read_bytes() != (bundle / "components/trees/model.ubj").read_bytes()


@pytest.mark.parametrize("change", [{"num_boost_round": 19}, {"inputs": ["visit.price"]}], ids=str)
def test_what_is_declared_otherwise_is_refused(bundle: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    components = {"trees": {**XGBOOST["trees"], **change}, "last": LAST}
    message = r"model\.training\.locked: 'trees' cannot be kept: .* declares it, or its inputs, otherwise"
    with pytest.raises(UserError, match=message):
        train(spec_of(bundle, components), tmp_path)


def test_what_the_bundle_does_not_have_is_refused(bundle: Path, tmp_path: Path) -> None:
    components = {"other": XGBOOST["trees"], "last": {"kind": "linear", "inputs": ["other.margin"]}}
    message = r"'other' cannot be kept: the bundle of training\.warm_start has no such component"
    with pytest.raises(UserError, match=message):
        train(spec_of(bundle, components, locked=["other"]), tmp_path)


@pytest.mark.parametrize(
    ("split", "refused"),
    [
        ({"validation_from": "2024-02-01", "test_from": "2024-03-01"}, ""),
        ({"validation_from": "2024-02-01", "test_from": "2024-03-02"}, ""),
        (
            {"validation_from": "2024-01-20", "test_from": "2024-02-29"},
            "before 2024-03-01 00:00, and the test period beg",
        ),
        ({"validation_from": "2024-02-01", "test_from": "2024-03-01", "timezone": "Asia/Tokyo"}, "has learned from"),
        ({"by": "random", "validation": 0.2, "test": 0.2}, "was made with another split"),
    ],
)
def test_what_may_have_seen_the_test_period_is_refused(
    bundle: Path, tmp_path: Path, split: dict[str, Any], refused: str
) -> None:
    config = spec_of(bundle).model_dump(mode="json")
    config["problem"]["split"] = split
    spec = RunSpec.model_validate(config)
    if not refused:
        train(spec, tmp_path)
        return
    with pytest.raises(UserError, match=f"model.training.warm_start: .*{refused}.*rows that this run tests by"):
        train(spec, tmp_path)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"locked": ["trees"]}, "model.training.locked: needs an earlier bundle: set training.warm_start"),
        (
            {"locked": ["tree"], "warm_start": "b"},
            "model.training.locked.0: no component 'tree'. Did you mean 'trees'?",
        ),
        ({"locked": ["gap"], "warm_start": "b"}, "model.training.locked.0: 'gap' learns nothing"),
        ({"warm_start": "b"}, "model.training.warm_start: no component of the model can start from an earlier one"),
    ],
)
def test_mistakes_are_found_before_anything_runs(training: dict[str, Any], message: str) -> None:
    config = make_config({**XGBOOST, "gap": {"kind": "difference", "of": ["visit.price", "visit.items"]}, "last": LAST})
    config["model"]["training"] |= training
    found = [f"{one.key}: {one.message}" for one in check(RunSpec.model_validate(config))]
    assert any(one.startswith(message) for one in found), found
