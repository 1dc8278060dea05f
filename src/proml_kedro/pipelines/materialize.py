"""Feature tables → online store, as of the newest example; then a check that both say the same."""

from __future__ import annotations

import json
from pathlib import Path

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Stamp, code_fingerprint
from proml_kedro.pipelines.features import columns_of, service_name
from proml_kedro.spec import FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec


def create_pipeline() -> Pipeline:
    """Values for scoring by entity keys; part of packaging, and a pipeline of its own to keep them fresh."""
    common = ["feature_tables", "params:problem", "params:features", "params:model", "params:hardware"]
    return Pipeline(
        [
            Node(
                materialize_features,
                ["store", "training_set", *common],
                "online_values",
                name="materialize_features",
            ),
            Node(check_online_values, ["store", "online_values", *common], "consistency", name="check_online_values"),
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
) -> Artifact:
    """Put the values as of the newest example into the online store, for scoring by entity keys.

    The store changes in place. The result says what it holds: the moment of each view, and a digest of its history.
    """
    from proml_kedro.features.ledger import Ledger

    place = store.data_dir / "feature_store" / problem.name
    file = place / "online.db"
    stamp = Stamp(place / "materialized", place=file)  # one for all models: they share the store
    inputs = {
        "training_set": training_set,
        "feature_tables": feature_tables,
        "service": service_name(problem, model),
        "code": [code_fingerprint(f"features.{name}") for name in ("materialize", "row_store")],
    }
    if not (stamp.matches(inputs) and store.reuse):
        stamp.remove()
        _materialize(store, training_set, feature_tables, problem, features, model, hardware)
        stamp.write(inputs)
    held = {name: (until.isoformat(), digest) for name, (until, digest) in Ledger(file, problem.name).all().items()}

    def write(folder: Path) -> None:
        (folder / "online_values.json").write_text(json.dumps(held, indent=1))

    return store.build(f"{problem.name}/online_values", {"held": held}, write)


def _materialize(
    store: ArtifactStore,
    training_set: Artifact,
    feature_tables: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    hardware: HardwareSpec,
) -> None:
    from proml_kedro.features.materialize import materialize_new
    from proml_kedro.features.online import views_of
    from proml_kedro.features.repository import open_repository
    from proml_kedro.features.training_set import newest_moment

    repository = open_repository(problem, features, store.data_dir, hardware)
    views = views_of(repository, service_name(problem, model))
    newest = newest_moment(training_set.file("training_set.parquet"))
    materialize_new(repository, feature_tables.path, views, newest, hardware, anew=not store.reuse)


def check_online_values(
    store: ArtifactStore,
    online_values: Artifact,
    feature_tables: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    hardware: HardwareSpec,
) -> Artifact:
    """Compare what training reads with what serving reads; see ``consistency.json``."""
    columns = columns_of(features, model)

    def write(folder: Path) -> None:
        from proml_kedro.features.consistency import as_result, check_consistency
        from proml_kedro.features.ledger import Ledger
        from proml_kedro.features.repository import open_repository

        repository = open_repository(problem, features, store.data_dir, hardware)
        held = Ledger(store.data_dir / "feature_store" / problem.name / "online.db", problem.name).all()
        moments = {name: until for name, (until, _) in held.items() if name in features.views}
        compared = check_consistency(repository, features, columns, moments, feature_tables.path, hardware)
        (folder / "consistency.json").write_text(json.dumps(as_result(compared), indent=1))

    inputs = {"online_values": online_values, "feature_tables": feature_tables, "columns": columns}
    return store.build(f"{problem.name}/{model.name}/consistency", inputs, write, code=("features",))
