"""Fitted model → bundle → online values → Bento."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.pipelines import materialize
from proml_kedro.spec import FeaturesSpec, ModelSpec, ProblemSpec, ServingSpec
from proml_kedro.spec.inputs import input_types
from proml_kedro.workflow import recipes


def create_pipeline() -> Pipeline:
    """Everything that is needed to score elsewhere."""
    own = Pipeline(
        [
            Node(
                write_bundle,
                [
                    "store",
                    "training_set",
                    "trained_model",
                    "evaluation",
                    "params:problem",
                    "params:features",
                    "params:model",
                    "parameters",
                ],
                "bundle",
                name="write_bundle",
            ),
            Node(
                build_bento,
                ["store", "bundle", "params:problem", "params:serving"],
                "bento",
                name="build_bento",
            ),
        ]
    )
    return own + materialize.create_pipeline()


def write_bundle(
    store: ArtifactStore,
    training_set: Artifact,
    trained_model: Artifact,
    evaluation: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    parameters: Mapping[str, Any],
) -> Artifact:
    """Put the model, what it is, where it comes from and how good it is into one folder."""
    run = recipes.run_spec(parameters)

    def write(folder: Path) -> None:
        from proml_kedro.bundle import write_bundle as write_files
        from proml_kedro.models.graph.graph import ModelGraph

        write_files(
            folder,
            graph=ModelGraph.load(model, input_types(problem, features), trained_model.path, problem.label.task),
            config=run.model_dump(mode="json"),
            training_set=training_set.file("training_set.parquet"),
            metrics=evaluation.json("metrics.json"),
            lineage={"training_set": training_set.fingerprint, "trained_model": trained_model.fingerprint},
            name=f"{problem.name}-{model.name}",
            version=trained_model.fingerprint[:12],
            shown_at=Path(run.data_dir) / problem.name / model.name / "bundle",
        )

    return store.build(
        recipes.bundle(run),
        {"trained_model": trained_model, "training_set": training_set, "evaluation": evaluation},
        write,
        code=("bundle", "models"),
    )


def build_bento(store: ArtifactStore, bundle: Artifact, problem: ProblemSpec, serving: ServingSpec) -> Artifact:
    """Build the Bento, then prove in a fresh process that it scores the golden rows as they were scored."""

    def write(folder: Path) -> None:
        from proml_kedro.serving.bento import build_bento as build
        from proml_kedro.serving.bento import check_bento

        build(bundle.path, folder, serving)
        check_bento(folder)

    return store.build(
        f"{problem.name}/bento",
        {"bundle": bundle, "serving": serving},
        write,
        code=("serving", "bundle", "models", "features", "engine", "spec", "==bentoml"),
    )
