"""Tables → feature tables → registry → training set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import copy2, copytree
from typing import TYPE_CHECKING

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Stamp
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.generator import TRUTH, GeneratorSpec
from proml_kedro.spec.inputs import select
from proml_kedro.spec.on_demand import bases

if TYPE_CHECKING:
    from feast import FeatureStore


def create_pipeline() -> Pipeline:
    """From the sources to a training set in which nothing is from the future."""
    return Pipeline(
        [
            Node(
                ingest_tables,
                ["store", "params:problem", "params:base_path", "params:hardware"],
                "tables",
                name="ingest_tables",
            ),
            Node(
                compute_features,
                [
                    "store",
                    "tables",
                    "params:problem",
                    "params:features",
                    "params:hardware",
                    "params:remove_used_features",
                ],
                "feature_tables",
                name="compute_features",
            ),
            Node(
                build_training_set,
                [
                    "store",
                    "tables",
                    "feature_tables",
                    "params:problem",
                    "params:features",
                    "params:model",
                    "params:evaluation",
                    "params:hardware",
                    "params:online_store",
                ],
                "training_set",
                name="build_training_set",
            ),
        ]
    )


def ingest_tables(store: ArtifactStore, problem: ProblemSpec, base_path: str, hardware: HardwareSpec) -> Artifact:
    """Read every source table into Parquet, with the columns derived from it; first make up what is generated."""
    from proml_kedro.features.tables import read_tables, source_fingerprint

    base = Path(base_path)
    made = _generate(store, problem.generator, problem.name) if problem.generator else None
    files = (
        {name: str(made.file(f"{one}.parquet").resolve()) for name, one in problem.generated().items()} if made else {}
    )
    located = problem.with_sources(files)
    inputs = {
        "tables": problem.tables,
        "examples": problem.examples,
        "sources": {
            name: source_fingerprint(name, table.source, base) for name, table in located.tables.items() if table.source
        },
        "generated": made,
    }

    def write(folder: Path) -> None:
        read_tables(located, base, hardware, folder)
        if made:
            copytree(made.file(TRUTH), folder / TRUTH, copy_function=_link)

    return store.build(f"{problem.name}/tables", inputs, write, code=("features", "==duckdb"))


def _generate(store: ArtifactStore, generator: GeneratorSpec, name: str) -> Artifact:
    """Make up the data of a problem, unless that was done."""

    def write(folder: Path) -> None:
        from proml_kedro.generators import generate

        generate(generator, folder)

    return store.build(f"{name}/generated", {"generator": generator}, write, code=("generators", "==numpy"))


def _link(source: str, target: str) -> None:
    """Give a file a second name where that can be done, and copy it elsewhere."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        copy2(source, target)


def compute_features(
    store: ArtifactStore,
    tables: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    hardware: HardwareSpec,
    remove_used_features: bool,
) -> Artifact:
    """Compute the values of every feature view, with the time from which each is known."""
    from proml_kedro.features.live import refuse_removal
    from proml_kedro.features.views import compute_views

    refuse_removal(problem, features, store.data_dir, remove_used_features)

    return store.build(
        f"{problem.name}/feature_tables",
        {"tables": tables, "features": {name: view for name, view in features.views.items() if view.is_stored}},
        lambda folder: compute_views(problem, features, tables.path, hardware, folder),
        code=("features", "==duckdb"),
    )


def build_training_set(
    store: ArtifactStore,
    tables: Artifact,
    feature_tables: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    evaluation: EvaluationSpec,
    hardware: HardwareSpec,
    online_store: str,
) -> Artifact:
    """Register the features with Feast, and join to each example what was known when it was to be predicted."""
    columns = columns_of(features, model, evaluation.baseline)
    feast = store.data_dir / "feature_store"
    registry = Stamp(feast / problem.name / "registered", place=feast / "registry.db")
    place = str(store.data_dir.resolve())  # the registry holds absolute paths
    registered = {"features": features, "columns": columns, "service": service_name(problem, model), "place": place}
    registered["online_store"] = online_store

    def repository() -> FeatureStore:
        from proml_kedro.features.repository import open_repository

        return open_repository(problem, features, store.data_dir, hardware, online_store)

    def register() -> None:
        from proml_kedro.features.repository import register as apply

        registry.remove()
        apply(repository(), problem, features, service_name(problem, model), columns)
        registry.write(registered)

    def write(folder: Path) -> None:
        from proml_kedro.features.training_set import build_training_set as build

        build(problem, features, columns, tables.path, repository(), hardware, folder)

    if not registry.matches(registered):
        register()
    return store.build(
        f"{problem.name}/training_set",
        {
            "tables": tables,
            "feature_tables": feature_tables,
            "problem": problem,
            "columns": columns,
            "unstored": {name: view for name, view in features.views.items() if not view.is_stored},
        },
        write,
        code=("features", "==duckdb", "==feast"),
    )


def columns_of(features: FeaturesSpec, *models: ModelSpec | None) -> Mapping[str, Dtype]:
    """The features that the models read, and those that on-demand ones are computed from, with their types.

    Each once, in declared order.
    """
    columns = features.columns()
    components = [spec for model in models if model for spec in model.components.values()]
    selected = {name for spec in components for name in select(spec.inputs, columns, spec.takes_vectors)}
    read = {*selected, *bases(features, selected)}
    return {name: dtype for name, dtype in columns.items() if name in read}


def service_name(problem: ProblemSpec, model: ModelSpec) -> str:
    """The name of the model's feature service in the registry."""
    return f"{problem.name}_{model.name}"
