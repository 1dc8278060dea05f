"""What each result is made from, as far as the configuration tells.

Steps make their results by these recipes, and a run that starts from results of earlier ones finds them by the same.
Only parts of the configuration that change a result are in its recipe, so that no other edit makes it unfit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from proml_kedro.artifacts import Recipe
from proml_kedro.features.tables.declared import declare
from proml_kedro.spec import ModelSpec, RunSpec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeatureViewSpec
from proml_kedro.spec.inputs import read_by
from proml_kedro.spec.model import CrossFitSpec
from proml_kedro.spec.on_demand import bases
from proml_kedro.workflow.code import own_code, own_code_of

_WORDS = {"description", "owner", "tags"}

_OWN_CODE = {"own_code": "code of extensions of your own"}

_ENGINE = {"engine": "hardware.engine"}


def _by_engine(run: RunSpec) -> dict[str, bool]:
    """Whether an engine computes a result: whichever it is, its queries are the same; DuckDB has others."""
    return {"engine": True} if run.hardware.engine is not None else {}


def recipes_of(run: RunSpec) -> dict[str, Recipe]:
    """Write the recipe of each result that a run can start from, by its name in the catalog, before what needs it."""
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
        "tables",
        {
            "tables": problem.tables,
            "examples": problem.examples,
            "generator": problem.generator,
            "declared": declare(problem, run.features).as_dict(),
            **own_code_of(problem),
        },
        called={
            **{name: f"problem.{name}" for name in ("tables", "examples", "generator")},
            "declared": "types and keys of features",
            **_OWN_CODE,
        },
        said=f"{problem.name}/tables",
    )


def feature_tables(run: RunSpec) -> Recipe:
    """Recipe of the feature tables."""
    stored = {name: _computed(view) for name, view in run.features.views.items() if view.is_stored}
    return Recipe(
        "feature_tables",
        {"features": stored, **own_code_of(run.features), **_by_engine(run)},
        {"tables": tables(run)},
        called={**_OWN_CODE, **_ENGINE},
        said=f"{run.problem.name}/feature_tables",
    )


def _computed(view: FeatureViewSpec) -> dict[str, Any]:
    """What of a view changes its values: not who owns it, nor how it is described."""
    content = view.model_dump(mode="json", exclude=_WORDS)
    words = {name: set(feature) & _WORDS for name, feature in content["features"].items()}
    features = {
        name: {key: value for key, value in feature.items() if key not in words[name]}
        for name, feature in content["features"].items()
    }
    return {**content, "features": features}


def training_set(run: RunSpec) -> Recipe:
    """Recipe of the training set that model and baseline share."""
    return learned_from(run, run.model, run.evaluation.baseline)


def learned_from(run: RunSpec, *models: ModelSpec | None) -> Recipe:
    """Recipe of a training set with the columns that some models read, and no others.

    A model is made from its part of the training set that it shares with another, so that it stays fit when the other
    one reads more.
    """
    columns, problem = columns_read(run, *models), run.problem
    views = {FeatureRef.parse(name).view for name in columns}
    is_derived = any(run.features.views[name].is_on_demand for name in views)
    unstored = {
        name: _computed(view)
        for name, view in run.features.views.items()
        if not view.is_stored and (name in views or (is_derived and view.is_on_demand))
    }
    return Recipe(
        "training_set",
        {
            "problem": problem.model_dump(mode="json", exclude={"name", "description", "tables", "generator"}),
            "columns": columns,
            "unstored": unstored,
            **own_code_of(problem, run.features),
            **_by_engine(run),
        },
        {"tables": tables(run), "feature_tables": feature_tables(run)},
        called={"columns": "features that are read", "unstored": "features", **_OWN_CODE, **_ENGINE},
        said=f"{problem.name}/training_set",
    )


def trained_model(run: RunSpec) -> Recipe:
    """Recipe of the fitted model."""
    return _trained(run, run.model, "model")


def trained_baseline(run: RunSpec) -> Recipe:
    """Recipe of the fitted baseline."""
    if run.evaluation.baseline is None:
        return Recipe("no_baseline", {}, said=f"{run.problem.name}/no_baseline")
    return _trained(run, run.evaluation.baseline, "evaluation.baseline")


_NOT_LEARNED: dict[str, Any] = {
    "name": True,
    "rank": True,
    "components": {"__all__": {"hardware": {"threads", "allow_cpu"}}},
}
"""Of a model: what changes nothing that is learned."""


def _trained(run: RunSpec, fitted: ModelSpec, key: str) -> Recipe:
    return Recipe(
        "trained_model",
        {
            "model": fitted.model_dump(mode="json", exclude=_NOT_LEARNED),
            "columns": columns_read(run, fitted),
            "seed": run.seed,
            "hardware": run.hardware.model_dump(include={"precision", "device", "devices", "mixed_precision"}),
            "own_code": own_code(fitted),
        },
        {"training_set": learned_from(run, fitted)},
        called={
            "model": key,
            "columns": "features that are read",
            **_OWN_CODE,
        },
        said=f"{run.problem.name}/{fitted.name}/trained_model",
    )


def fitted_component(run: RunSpec, model: str, part: ModelSpec, final: bool) -> Recipe:
    """Recipe of a fitted component of a model, and of what it says of the rows that it was fitted with.

    Args:
        run: The run.
        model: Name of the model.
        part: The part of the model that ends in the component, as :func:`part_of` gives it.
        final: Whether no other component learns from it.
    """
    whole = _trained(run, part, "model")
    return Recipe(
        "fitted_component",
        {**whole.configuration, "final": final},
        whole.of,
        said=f"{run.problem.name}/{model}/{part.score}",
    )


def part_of(model: ModelSpec, component: str, before: Collection[str], final: bool) -> ModelSpec:
    """Return the part of a model that ends in one component, without anything that does not change its fit.

    Args:
        model: The model.
        component: Name of the component.
        before: Names of those from which what it reads is computed.
        final: Whether no other component learns from it.
    """
    components = {name: one for name, one in model.components.items() if name == component or name in before}
    locked = [name for name in model.training.locked if name in components]
    training = model.training.model_copy(update={"locked": locked})
    if not locked and not any(one.warm_starts for one in components.values()):
        training = training.model_copy(update={"warm_start": None})
    if final and not any(components[name].learns for name in before):
        training = training.model_copy(update={"cross_fit": CrossFitSpec()})  # nothing is fitted to parts of the rows
    return model.model_copy(
        update={"components": components, "score": component, "training": training, "rank": None, "description": ""}
    )


def evaluation(run: RunSpec) -> Recipe:
    """Recipe of the evaluation."""
    return Recipe(
        "evaluation",
        {
            "names": {"model": run.model.name},
            "evaluation": run.evaluation,
            "neutral": run.features.neutral(),
            "seed": run.seed,
            **own_code_of(run.evaluation),
        },
        {
            "training_set": training_set(run),
            "trained_model": trained_model(run),
            "trained_baseline": trained_baseline(run),
        },
        called={"names": "names of models", "neutral": "neutral values of features", **_OWN_CODE},
        said=f"{run.problem.name}/{run.model.name}/evaluation",
    )


NOT_IN_BUNDLES: dict[str, Any] = {
    "scoring": True,
    "search": True,
    "serving": {"challenger", "places", "verify_key"},
    "monitoring": {"anomalies"},
}
"""Of a run's configuration: what concerns other bundles, or none."""


def bundle(run: RunSpec) -> Recipe:
    """Recipe of the bundle, which holds the whole configuration."""
    return Recipe(
        "bundle",
        {"config": run.model_dump(mode="json", exclude=NOT_IN_BUNDLES)},
        {
            "training_set": training_set(run),
            "trained_model": trained_model(run),
            "evaluation": evaluation(run),
        },
        called={"config": ""},
        said=f"{run.problem.name}/{run.model.name}/bundle",
    )


def columns_read(run: RunSpec, *models: ModelSpec | None) -> Mapping[str, Dtype]:
    """List the features that models read, and those that on-demand ones are computed from, with their types.

    Each is named once, in declared order.
    """
    columns = run.features.columns()
    components = [spec for model in models if model for spec in model.components.values()]
    selected = {name for spec in components for name in read_by(spec, columns, {})}
    read = {*selected, *bases(run.features, selected)}
    return {name: dtype for name, dtype in columns.items() if name in read}
