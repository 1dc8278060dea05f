"""Training set → fitted model, and a fitted baseline to judge it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact, Recipe
from proml_kedro.results import FitSummary, TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.split import TRAIN, VALIDATION
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import TRAINING_SET, model_code
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.earlier import open_earlier
from proml_kedro.workflow.steps.kept_components import KeptComponents

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.models.component import Examples, FitContext, Input
    from proml_kedro.models.graph import ModelGraph
    from proml_kedro.models.graph.fitted_step import KeepsSteps


def train_model(run: Run, training_set: Artifact) -> Artifact:
    """Fit the model."""
    return _train(run, training_set, run.spec.model, recipes.trained_model(run.spec), "model")


def train_baseline(run: Run, training_set: Artifact) -> Artifact:
    """Fit the baseline; without one, the result is an empty folder."""
    recipe, baseline = recipes.trained_baseline(run.spec), run.spec.evaluation.baseline
    if baseline is None:
        return run.store.build(recipe, {}, lambda folder: None)
    return _train(run, training_set, baseline, recipe, "evaluation.baseline")


def _train(run: Run, training_set: Artifact, model: ModelSpec, recipe: Recipe, key: str) -> Artifact:
    earlier = model.training.warm_start
    place, split = f"{key}.training.warm_start", run.spec.problem.split
    previous = open_earlier(run.base_path / earlier, place, split) if earlier else None

    def write(folder: Path, checkpoints: Path) -> None:
        from proml_kedro.models.component import FitContext

        spec, classes = run.spec, len(TrainingSetFacts.read(training_set.path).classes)
        context = FitContext(spec.hardware, spec.seed, key, classes=classes, checkpoints=checkpoints)
        rows = examples_file(training_set.path)
        keeper = KeptComponents.of(run, training_set, model, previous.digest if previous else None)
        graph = fit_graph(run, rows, model, context, previous.graph if previous else None, keeper)
        graph.save(folder)
        FitSummary.of(graph.summary()).write(folder)

    part = run.store.part(training_set, recipes.learned_from(run.spec, model), TRAINING_SET)
    return run.store.build_resumably(
        recipe,
        {"training_set": part, "previous": previous and previous.digest},
        write,
        code=("workflow/steps/train.py", *model_code(model)),
    )


def fit_graph(
    run: Run,
    rows: Path,
    model: ModelSpec,
    context: FitContext,
    previous: ModelGraph | None = None,
    keeper: KeepsSteps | None = None,
) -> ModelGraph:
    """Fit a model to the training and validation part of a training set.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        model: What to fit.
        context: What components may use.
        previous: An earlier model to start from.
        keeper: Keeps fitted components for other runs.
    """
    from proml_kedro.models.graph import ModelGraph

    graph = ModelGraph(model, run.input_types, run.spec.problem.label.task)
    parts = read_parts(run, rows, model, graph.inputs)
    graph.fit(parts.train, parts.validation, context, parts.groups, previous, keeper)
    return graph


@dataclass(frozen=True)
class Parts:
    """What a model is fitted to.

    Attributes:
        train: Examples to learn from.
        validation: Examples to choose by.
        groups: What keeps rows of ``train`` together in one fold, shape (n,); None when nothing does.
    """

    train: Examples
    validation: Examples
    groups: npt.NDArray[np.object_] | None


def read_parts(run: Run, rows: Path, model: ModelSpec, inputs: Sequence[Input]) -> Parts:
    """Read the training and validation part of a training set, inputs only once a component looks at them.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        model: What is to be fitted.
        inputs: What it reads.
    """
    from proml_kedro.models.examples import read_examples

    problem, precision = run.spec.problem, run.spec.hardware.precision
    train, validation = (read_examples(rows, split, inputs, problem, precision) for split in (TRAIN, VALIDATION))
    return Parts(train, validation, _groups(rows, model.training.cross_fit.group))


def _groups(rows: Path, column: str | None) -> npt.NDArray[np.object_] | None:
    """What keeps rows of the training period together in one fold, shape (n,); None when nothing does."""
    if column is None:
        return None
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.component import Input

    return read_columns(rows, [Input(column, "str")], in_split(TRAIN))[column]
