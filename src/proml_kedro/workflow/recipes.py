"""What each result is made from, as far as the configuration tells.

Steps make their results by these recipes, and a run that starts from results of earlier ones finds them by the same.
Only parts of the configuration that change a result are in its recipe, so that no other edit makes it unfit.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

from proml_kedro.artifacts import Recipe, fingerprint
from proml_kedro.spec import ModelSpec, RunSpec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import read_by
from proml_kedro.spec.on_demand import bases


def recipes_of(run: RunSpec) -> dict[str, Recipe]:
    """The recipe of each result that a run can start from, by its name in the catalog; each before what needs it."""
    return {
        "tables": tables(run),
        "feature_tables": feature_tables(run),
        "training_set": training_set(run),
        "trained_baseline": trained_baseline(run),
        "trained_model": trained_model(run),
        "evaluation": evaluation(run),
        "bundle": bundle(run),
    }


def tables(run: RunSpec) -> Recipe:
    """Recipe of the tables."""
    problem = run.problem
    return Recipe(
        f"{problem.name}/tables",
        {"tables": problem.tables, "examples": problem.examples, "generator": problem.generator},
        called={name: f"problem.{name}" for name in ("tables", "examples", "generator")},
    )


def feature_tables(run: RunSpec) -> Recipe:
    """Recipe of the feature tables."""
    stored = {name: view for name, view in run.features.views.items() if view.is_stored}
    return Recipe(f"{run.problem.name}/feature_tables", {"features": stored}, {"tables": tables(run)})


def training_set(run: RunSpec) -> Recipe:
    """Recipe of the training set that model and baseline share."""
    return Recipe(
        f"{run.problem.name}/training_set",
        {
            "problem": run.problem,
            "columns": columns_read(run, run.model, run.evaluation.baseline),
            "unstored": {name: view for name, view in run.features.views.items() if not view.is_stored},
        },
        {"tables": tables(run), "feature_tables": feature_tables(run)},
        called={"columns": "features that are read", "unstored": "features"},
    )


def trained_model(run: RunSpec) -> Recipe:
    """Recipe of the fitted model."""
    return _trained(run, run.model, "model")


def trained_baseline(run: RunSpec) -> Recipe:
    """Recipe of the fitted baseline."""
    if run.evaluation.baseline is None:
        return Recipe(f"{run.problem.name}/no_baseline", {})
    return _trained(run, run.evaluation.baseline, "evaluation.baseline")


def _trained(run: RunSpec, fitted: ModelSpec, key: str) -> Recipe:
    return Recipe(
        f"{run.problem.name}/{fitted.name}/trained_model",
        {
            "model": fitted,
            "columns": columns_read(run, fitted),
            "seed": run.seed,
            "hardware": run.hardware.model_dump(include={"precision", "device", "devices", "mixed_precision"}),
            "own_code": own_code(fitted),
        },
        {"training_set": training_set(run)},
        called={
            "model": key,
            "columns": "features that are read",
            "own_code": "code of components of your own",
        },
    )


def evaluation(run: RunSpec) -> Recipe:
    """Recipe of the evaluation."""
    return Recipe(
        f"{run.problem.name}/{run.model.name}/evaluation",
        {"evaluation": run.evaluation, "neutral": run.features.neutral(), "seed": run.seed},
        {
            "training_set": training_set(run),
            "trained_model": trained_model(run),
            "trained_baseline": trained_baseline(run),
        },
        called={"neutral": "neutral values of features"},
    )


def bundle(run: RunSpec) -> Recipe:
    """Recipe of the bundle, which holds the whole configuration."""
    return Recipe(
        f"{run.problem.name}/{run.model.name}/bundle",
        {"config": run.model_dump(mode="json")},
        {
            "training_set": training_set(run),
            "trained_model": trained_model(run),
            "evaluation": evaluation(run),
        },
        called={"config": ""},
    )


def columns_read(run: RunSpec, *models: ModelSpec | None) -> Mapping[str, Dtype]:
    """The features that models read, and those that on-demand ones are computed from, with their types.

    Each is named once, in declared order.
    """
    columns = run.features.columns()
    components = [spec for model in models if model for spec in model.components.values()]
    selected = {name for spec in components for name in read_by(spec, columns, {})}
    read = {*selected, *bases(run.features, selected)}
    return {name: dtype for name, dtype in columns.items() if name in read}


def own_code(model: ModelSpec) -> dict[str, str]:
    """A digest of the source of each kind of component that does not come with proml_kedro, by kind."""
    from proml_kedro.models.kinds import modules_of

    digests = {}
    for kind in {spec.kind for spec in model.components.values()}:
        modules = [sys.modules[name] for name in modules_of(kind) if not name.startswith("proml_kedro.")]
        texts = [Path(file).read_text() for module in modules if (file := inspect.getsourcefile(module))]
        if texts:
            digests[kind] = fingerprint("".join(texts))
    return digests
