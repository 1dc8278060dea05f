"""Training set → fitted model, and a fitted baseline to judge it by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Recipe
from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.spec.inputs import input_types
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import model_code

if TYPE_CHECKING:
    from proml_kedro.bundle import Bundle


def create_pipeline() -> Pipeline:
    """Fit the model and its baseline on the same examples."""
    specs = ("problem", "features", "model", "evaluation", "hardware", "seed", "base_path")
    inputs = ["store", "training_set", *(f"params:{name}" for name in specs)]
    return Pipeline(
        [
            Node(train_model, inputs, "trained_model", name="train_model"),
            Node(train_baseline, inputs, "trained_baseline", name="train_baseline"),
        ]
    )


def train_model(
    store: ArtifactStore,
    training_set: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    evaluation: EvaluationSpec,
    hardware: HardwareSpec,
    seed: int,
    base_path: str,
) -> Artifact:
    """Fit the model."""
    recipe = recipes.trained_model(recipes.Fitting(problem, features, model, evaluation, hardware, seed))
    return _train(store, recipe, training_set, problem, features, model, hardware, seed, base_path, "model")


def train_baseline(
    store: ArtifactStore,
    training_set: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    evaluation: EvaluationSpec,
    hardware: HardwareSpec,
    seed: int,
    base_path: str,
) -> Artifact:
    """Fit the baseline; without one, the result is an empty folder."""
    recipe = recipes.trained_baseline(recipes.Fitting(problem, features, model, evaluation, hardware, seed))
    baseline = evaluation.baseline
    if baseline is None:
        return store.build(recipe, {}, lambda folder: None)
    key = "evaluation.baseline"
    return _train(store, recipe, training_set, problem, features, baseline, hardware, seed, base_path, key)


def _train(
    store: ArtifactStore,
    recipe: Recipe,
    training_set: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    hardware: HardwareSpec,
    seed: int,
    base_path: str,
    key: str,
) -> Artifact:
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.component import FitContext, Input
    from proml_kedro.models.examples import read_examples
    from proml_kedro.models.graph.graph import ModelGraph

    rows = training_set.file("training_set.parquet")
    task = problem.label.task
    earlier = model.training.warm_start
    previous = _open(Path(base_path, earlier), f"{key}.training.warm_start") if earlier else None

    def write(folder: Path, checkpoints: Path) -> None:
        graph = ModelGraph(model, input_types(problem, features), task)
        together = model.training.cross_fit.group
        folds = read_columns(rows, [Input(together, "str")], in_split("train"))[together] if together else None
        train, validation = (
            read_examples(rows, split, graph.inputs, problem, hardware.precision) for split in ("train", "validation")
        )
        context = FitContext(hardware, seed, key, task=task, checkpoints=checkpoints)
        graph.fit(train, validation, context, folds, previous.graph if previous else None)
        graph.save(folder)
        (folder / "summary.json").write_text(json.dumps(graph.summary()))

    return store.build_resumably(
        recipe,
        {"training_set": training_set, "previous": previous and previous.digest},
        write,
        code=model_code(model),
    )


def _open(folder: Path, key: str) -> Bundle:
    """The bundle of an earlier model.

    Raises:
        UserError: It is not what was written.
    """
    from proml_kedro.bundle import Bundle, IntegrityError

    try:
        return Bundle.load(folder)
    except IntegrityError as error:
        raise UserError(*(Mistake(key, f"'{folder}': {one.message}") for one in error.mistakes)) from error
