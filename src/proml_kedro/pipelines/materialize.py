"""Feature tables → online store, as of the newest example; then a check that both say the same."""

from __future__ import annotations

import json
from pathlib import Path

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Stamp, code_fingerprint
from proml_kedro.pipelines.features import register, service_name
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.workflow.recipes import columns_of

_STORE = ("feast.materialize", "feast.online_store", "online.store", "online.kinds", "online.sqlite", "online.redis")


def create_pipeline() -> Pipeline:
    """Values for scoring by entity keys; part of packaging, and a pipeline of its own to keep them fresh."""
    names = ("problem", "features", "model", "hardware", "online_store")
    common = ["feature_tables", *(f"params:{name}" for name in names)]
    return Pipeline(
        [
            Node(
                materialize_features,
                ["store", "training_set", *common, "params:evaluation"],
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
    online_store: str,
    evaluation: EvaluationSpec,
) -> Artifact:
    """Put the values as of the newest example into the online store, for scoring by entity keys.

    The store changes in place. The result says what it holds: the moment of each view, and a digest of its history.
    """
    from proml_kedro.features.online.open import open_store, store_place

    rows = open_store(store_place(online_store, problem.name, store.data_dir), problem.name)
    place = store.data_dir / "feature_store" / problem.name
    stamp = Stamp(place / "materialized", place=place)  # one for all models: they share the store
    inputs = {
        "training_set": training_set,
        "feature_tables": feature_tables,
        "service": service_name(problem, model),
        "code": [code_fingerprint(f"features.{name}") for name in _STORE],
        "online_store": online_store,
    }
    if not (rows.exists() and stamp.matches(inputs) and store.reuse):
        register(store, problem, features, model, evaluation, hardware, online_store)  # another run may have been last
        stamp.remove()
        _materialize(store, training_set, feature_tables, problem, features, model, hardware, online_store)
        stamp.write(inputs)
    held = {name: (until.isoformat(), digest) for name, (until, digest) in rows.watermarks().items()}

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
    online_store: str,
) -> None:
    from proml_kedro.features.feast.materialize import materialize_new, views_of
    from proml_kedro.features.feast.repository import open_repository
    from proml_kedro.features.training.training_set import newest_moment

    repository = open_repository(problem, features, store.data_dir, hardware, online_store)
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
    online_store: str,
) -> Artifact:
    """Compare what training reads with what serving reads; see ``consistency.json``."""
    columns = columns_of(features, model)

    def write(folder: Path) -> None:
        from proml_kedro.features.feast.history import FeastHistory
        from proml_kedro.features.feast.repository import open_repository
        from proml_kedro.features.online.consistency import FeatureSources, as_result, check_consistency
        from proml_kedro.features.online.open import open_store, store_place

        history = FeastHistory(open_repository(problem, features, store.data_dir, hardware, online_store))
        online = open_store(store_place(online_store, problem.name, store.data_dir), problem.name)
        moments = {name: until for name, (until, _) in online.watermarks().items() if name in features.views}
        sources = FeatureSources(features, history, online)
        compared = check_consistency(sources, columns, moments, feature_tables.path, hardware)
        (folder / "consistency.json").write_text(json.dumps(as_result(compared), indent=1))

    inputs = {"online_values": online_values, "feature_tables": feature_tables, "columns": columns}
    return store.build(f"{problem.name}/{model.name}/consistency", inputs, write, code=("features", "engine"))
