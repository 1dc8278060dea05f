"""The pipelines that `kedro run --pipelines=NAME` knows."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from proml_kedro.pipelines import evaluate, features, materialize, monitor, package, train


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; `kedro run` alone runs all of them in this order."""
    pipelines = {
        "features": features.create_pipeline(),
        "train": train.create_pipeline(),
        "evaluate": evaluate.create_pipeline(),
        "package": package.create_pipeline(),
        "materialize": materialize.create_pipeline(),
        "monitor": monitor.create_pipeline(),
    }
    return {**pipelines, "__default__": sum(pipelines.values(), Pipeline([]))}
