"""What each result is made from, as far as the configuration tells.

Nodes make their results by these recipes, and a run that starts from results of earlier ones finds them by the same.
Only parts of the configuration that change a result are in its recipe, so that no other edit makes it unfit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from proml_kedro.artifacts import Recipe
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec, RunSpec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import select
from proml_kedro.spec.on_demand import bases
from proml_kedro.workflow.code import own_code


@dataclass(frozen=True)
class Fitting:
    """The parts of the configuration that a fitted model, and what is judged of it, depend on."""

    problem: ProblemSpec
    features: FeaturesSpec
    model: ModelSpec
    evaluation: EvaluationSpec
    hardware: HardwareSpec
    seed: int

    @classmethod
    def of(cls, run: RunSpec) -> Self:
        """Those of a run."""
        return cls(run.problem, run.features, run.model, run.evaluation, run.hardware, run.seed)

    @property
    def training_set(self) -> Recipe:
        """Of the training set that model and baseline share."""
        return training_set(self.problem, self.features, self.model, self.evaluation)


def recipes_of(run: RunSpec) -> dict[str, Recipe]:
    """The recipe of each result that a run can start from, by its name in the catalog; each before what needs it."""
    of = Fitting.of(run)
    return {
        "tables": tables(of.problem),
        "feature_tables": feature_tables(of.problem, of.features),
        "training_set": of.training_set,
        "trained_baseline": trained_baseline(of),
        "trained_model": trained_model(of),
        "evaluation": evaluated(of),
        "bundle": bundle(run),
    }


def tables(problem: ProblemSpec) -> Recipe:
    """Of the tables."""
    return Recipe(
        f"{problem.name}/tables",
        {"tables": problem.tables, "examples": problem.examples, "generator": problem.generator},
        called={name: f"problem.{name}" for name in ("tables", "examples", "generator")},
    )


def feature_tables(problem: ProblemSpec, features: FeaturesSpec) -> Recipe:
    """Of the feature tables."""
    stored = {name: view for name, view in features.views.items() if view.is_stored}
    return Recipe(f"{problem.name}/feature_tables", {"features": stored}, {"tables": tables(problem)})


def training_set(problem: ProblemSpec, features: FeaturesSpec, model: ModelSpec, evaluation: EvaluationSpec) -> Recipe:
    """Of the training set."""
    return Recipe(
        f"{problem.name}/training_set",
        {
            "problem": problem,
            "columns": columns_of(features, model, evaluation.baseline),
            "unstored": {name: view for name, view in features.views.items() if not view.is_stored},
        },
        {"tables": tables(problem), "feature_tables": feature_tables(problem, features)},
        called={"columns": "features that are read", "unstored": "features"},
    )


def trained_model(of: Fitting) -> Recipe:
    """Of the fitted model."""
    return _trained(of.model, "model", of)


def trained_baseline(of: Fitting) -> Recipe:
    """Of the fitted baseline."""
    if of.evaluation.baseline is None:
        return Recipe(f"{of.problem.name}/no_baseline", {})
    return _trained(of.evaluation.baseline, "evaluation.baseline", of)


def _trained(fitted: ModelSpec, key: str, of: Fitting) -> Recipe:
    return Recipe(
        f"{of.problem.name}/{fitted.name}/trained_model",
        {
            "model": fitted,
            "columns": columns_of(of.features, fitted),
            "seed": of.seed,
            "hardware": of.hardware.model_dump(include={"precision", "device", "devices", "mixed_precision"}),
            "own_code": own_code(fitted),
        },
        {"training_set": of.training_set},
        called={
            "model": key,
            "columns": "features that are read",
            "own_code": "code of components of your own",
        },
    )


def evaluated(of: Fitting) -> Recipe:
    """Of the evaluation."""
    return Recipe(
        f"{of.problem.name}/{of.model.name}/evaluation",
        {"evaluation": of.evaluation, "neutral": of.features.neutral(), "seed": of.seed},
        {
            "training_set": of.training_set,
            "trained_model": trained_model(of),
            "trained_baseline": trained_baseline(of),
        },
        called={"neutral": "neutral values of features"},
    )


def bundle(run: RunSpec) -> Recipe:
    """Of the bundle, which holds the whole configuration."""
    of = Fitting.of(run)
    return Recipe(
        f"{run.problem.name}/{run.model.name}/bundle",
        {"config": run.model_dump(mode="json")},
        {
            "training_set": of.training_set,
            "trained_model": trained_model(of),
            "evaluation": evaluated(of),
        },
        called={"config": ""},
    )


def run_spec(parameters: Mapping[str, Any]) -> RunSpec:
    """The run's parameters, of which Kedro has made specs of those that its nodes take."""
    return RunSpec.model_validate({name: value for name, value in parameters.items() if name != "base_path"})


def columns_of(features: FeaturesSpec, *models: ModelSpec | None) -> Mapping[str, Dtype]:
    """The features that the models read, and those that on-demand ones are computed from, with their types.

    Each once, in declared order.
    """
    columns = features.columns()
    components = [spec for model in models if model for spec in model.components.values()]
    selected = {name for spec in components for name in select(spec.inputs, columns, spec.takes_vectors)}
    read = {*selected, *bases(features, selected)}
    return {name: dtype for name, dtype in columns.items() if name in read}
