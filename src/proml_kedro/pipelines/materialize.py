"""Feature tables → online store, as of the newest example."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Stamp, code_fingerprint
from proml_kedro.pipelines.features import service_name
from proml_kedro.spec import FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec


def create_pipeline() -> Pipeline:
    """Values for scoring by entity keys; part of packaging, and a pipeline of its own to keep them fresh."""
    return Pipeline(
        [
            Node(
                materialize_features,
                [
                    "store",
                    "training_set",
                    "feature_tables",
                    "params:problem",
                    "params:features",
                    "params:model",
                    "params:hardware",
                ],
                None,
                name="materialize_features",
            ),
        ]
    )


def materialize_features(
    store: ArtifactStore,
    training_set: Artifact,
    feature_tables: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    hardware: HardwareSpec,
) -> None:
    """Put the values as of the newest example into the online store, for scoring by entity keys."""
    place = store.data_dir / "feature_store" / problem.name
    stamp = Stamp(place / f"materialized_{model.name}")
    inputs = {
        "training_set": training_set,
        "feature_tables": feature_tables,
        "service": service_name(problem, model),
        "code": [code_fingerprint(f"features.{name}") for name in ("materialize", "row_store")],
    }
    if stamp.matches(inputs) and store.reuse and (place / "online.db").is_file():
        return
    from proml_kedro.features.materialize import materialize_new
    from proml_kedro.features.online import views_of
    from proml_kedro.features.repository import open_repository
    from proml_kedro.features.training_set import newest_moment

    stamp.remove()
    repository = open_repository(problem, features, store.data_dir, hardware)
    views = views_of(repository, service_name(problem, model))
    newest = newest_moment(training_set.file("training_set.parquet"))
    materialize_new(repository, feature_tables.path, views, newest, hardware, anew=not store.reuse)
    stamp.write(inputs)
