"""A change of one component trains that one, and those that learn from it, again: with the same bits as a fresh run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.models.graph.fitted_step import FittedStep
from proml_kedro.models.linear.component import Linear
from proml_kedro.result_folder import record_file
from proml_kedro.results import TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.spec import RunSpec
from proml_kedro.upkeep import take_stock
from proml_kedro.workflow import Run, recipes
from proml_kedro.workflow.code import TRAINING_SET
from proml_kedro.workflow.steps.train import train_model
from small import fit, make_config, write_training_set

NUMBERS = ["visit.price", "visit.items", "traffic.visits_3h"]
MODEL: dict[str, Any] = {
    "trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 5},
    "rates": {"kind": "target_statistics", "inputs": ["visit.city"]},
    "raised": {"kind": "difference", "of": ["trees.margin", "rates.mean"]},
    "personal": {"kind": "linear", "inputs": [*NUMBERS, "raised", "shop"]},
    "side": {"kind": "linear", "inputs": NUMBERS},
    "all": {"kind": "blend", "inputs": ["personal.margin", "side.margin"]},
}
LEARNERS = {"trees", "rates", "personal", "side"}


@pytest.fixture
def project(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")

    class Project:
        """Trains models in one data folder, and tells what was fitted and what came out."""

        def __init__(self, name: str) -> None:
            self.base = tmp_path / name

        def train(self, *changes: tuple[str, Any]) -> tuple[set[str], dict[str, bytes]]:
            config = make_config(MODEL)
            for key, value in changes:
                *path, last = key.split(".")
                here = config
                for one in path:
                    here = here[one]
                here[last] = value
            run = Run.of(RunSpec.model_validate(config), self.base)
            caplog.clear()
            made = train_model(run, self.training_set(run))
            fitted = set(re.findall(r"^(\w+): fitted in", "\n".join(one.message for one in caplog.records), re.M))
            return fitted, {
                one.relative_to(made.path).as_posix(): one.read_bytes()
                for one in sorted(made.path.rglob("*"))
                if one.is_file()
            }

        def training_set(self, run: Run) -> Artifact:
            def write(folder: Path) -> None:
                write_training_set(examples_file(folder))
                (folder / TrainingSetFacts.FILE).write_text('{"rows": 1500}')

            tables = run.store.build(recipes.tables(run.spec), {}, lambda folder: None)
            views = run.store.build(recipes.feature_tables(run.spec), {"tables": tables}, lambda folder: None)
            of = {"tables": tables, "feature_tables": views}
            return run.store.build(recipes.training_set(run.spec), of, write, TRAINING_SET)

    return Project


CHANGES = [
    ([], set()),
    ([("model.components.side.penalty", 0.5)], {"side"}),
    ([("model.components.personal.max_iterations", 400)], {"personal"}),
    ([("model.components.rates.smoothing", 3.0)], {"rates", "personal"}),
    ([("model.components.trees.num_boost_round", 6)], {"trees", "personal"}),
    ([("model.components.all.weights", [1.0, 3.0])], set()),
    ([("model.training.cross_fit.folds", 4)], {"trees", "rates", "personal"}),
    ([("model.rank", {"within": "shop"})], set()),
    ([("model.name", "other"), ("model.description", "The same components")], set()),
    ([("hardware.precision", "float64")], LEARNERS),
    ([("seed", 5)], LEARNERS),
    ([("problem.label.expression", "amount > 1")], LEARNERS),
    ([("model.score", "side")], set()),
]


@pytest.mark.parametrize(
    ("changes", "expected"), CHANGES, ids=lambda one: str(sorted(one) if isinstance(one, set) else one)[:60]
)
def test_what_depends_on_a_change_is_fitted_again(project, changes, expected):
    kept, fresh = project("kept"), project("fresh")
    assert kept.train()[0] == LEARNERS
    fitted, made = kept.train(*changes)
    assert fitted == expected
    assert made == fresh.train(*changes)[1]


def components_in(project: Any) -> dict[str, Path]:
    """The stored result of each component, by its name."""
    found = {}
    for folder in (project.base / "data/store/fitted_component").glob("????????????????"):
        found[json.loads(record_file(folder).read_text())["configuration"]["model"]["score"]] = folder
    return found


def test_a_damaged_component_is_fitted_again(project):
    kept = project("kept")
    first = kept.train()[1]
    file = components_in(kept)["trees"] / "of_training.arrow"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    fitted, made = kept.train(("model.components.personal.penalty", 2.0))
    assert fitted == {"trees", "personal"}
    assert made == project("fresh").train(("model.components.personal.penalty", 2.0))[1]
    assert {name for name in made if made[name] != first[name]} >= {"personal/coefficients.npy"}


def test_a_run_that_ended_goes_on_with_the_components_that_are_whole(project, monkeypatch):
    kept = project("kept")

    def end(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Linear, "fit", end)
        with pytest.raises(KeyboardInterrupt):
            kept.train()
    fitted, made = kept.train()
    assert fitted == {"personal", "side"}
    assert made == project("fresh").train()[1]


def test_models_share_what_they_have_in_common(project):
    kept = project("kept")
    kept.train()
    other = {name: MODEL[name] for name in ("trees", "rates", "raised")}
    other["last"] = {"kind": "linear", "inputs": ["raised"]}
    changes = (("model.name", "other"), ("model.components", other), ("model.score", "last"))
    fitted, made = kept.train(*changes)
    assert fitted == {"last"}
    assert made == project("fresh").train(*changes)[1]


def test_components_stay_as_long_as_their_model_is_needed(project):
    kept = project("kept")
    kept.train()
    kept.train(("model.components.side.penalty", 0.5))
    stock = take_stock(ArtifactStore(kept.base / "data"))
    made_of = {place: set(one.made_of) for place, one in stock.items() if one.sort == "trained_model"}
    shared = set.intersection(*made_of.values())
    assert len(made_of) == 2
    assert {stock[place].sort for place in shared} == {"fitted_component", "training_set"}
    assert sorted(len(one - shared) for one in made_of.values()) == [1, 1], "each has a side component of its own"


def test_a_model_of_one_that_learns_is_kept_once(project):
    kept = project("kept")
    kept.train(("model.components", {"trees": MODEL["trees"]}), ("model.score", "trees"))
    assert components_in(kept) == {}


def test_outputs_of_every_type_come_back_as_they_were(tmp_path):
    columns = {
        "a.margin": np.array([1.5, np.nan, -np.inf, 5e-324]),
        "a.small": np.array([0.1, np.nan], np.float32).repeat(2),
        "a.embedding": np.arange(12, dtype=np.float32).reshape(4, 3) / 7,
        "a.leaf": np.array(["x", None, "", "ü"], object),
        "a.probabilities": np.full((4, 2), 0.5),
    }
    made = fit(
        make_config({"one": {"kind": "constant", "inputs": ["*"]}}), write_training_set(tmp_path / "rows.parquet")
    )
    (tmp_path / "kept").mkdir()
    FittedStep(made.components["one"], {"rows": 3}, columns, {}).write(tmp_path / "kept")
    found = FittedStep.read(tmp_path / "kept", lambda folder: made.components["one"])
    assert (found.facts, found.chosen) == ({"rows": 3}, {})
    for name, values in columns.items():
        assert (found.learned[name].dtype, found.learned[name].shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found.learned[name], values)
