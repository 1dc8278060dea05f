"""Tables → feature tables → registry → training set."""

from __future__ import annotations

from pathlib import Path
from shutil import copy2, copytree

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore, Stamp
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.spec.generator import TRUTH, GeneratorSpec
from proml_kedro.workflow import recipes
from proml_kedro.workflow.recipes import columns_of


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
    from proml_kedro.features.tables.read import read_tables, source_fingerprint

    base = Path(base_path)
    made = _generate(store, problem.generator, problem.name) if problem.generator else None
    files = (
        {name: str(made.file(f"{one}.parquet").resolve()) for name, one in problem.generated().items()} if made else {}
    )
    located = problem.with_sources(files)
    inputs = {
        "sources": {
            name: source_fingerprint(name, table.source, base) for name, table in located.tables.items() if table.source
        },
        "generated": made,
    }

    def write(folder: Path) -> None:
        read_tables(located, base, hardware, folder)
        if made:
            copytree(made.file(TRUTH), folder / TRUTH, copy_function=_link)

    return store.build(recipes.tables(problem), inputs, write, code=("features", "engine", "==duckdb"))


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
    from proml_kedro.features.views.compute import compute_views
    from proml_kedro.release.used_features import refuse_removal

    refuse_removal(problem, features, store.data_dir, remove_used_features)

    return store.build(
        recipes.feature_tables(problem, features),
        {"tables": tables},
        lambda folder: compute_views(problem, features, tables.path, hardware, folder),
        code=("features", "engine", "==duckdb"),
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

    def write(folder: Path) -> None:
        from proml_kedro.features.feast.history import FeastHistory
        from proml_kedro.features.feast.repository import open_repository
        from proml_kedro.features.training.training_set import build_training_set as build

        history = FeastHistory(open_repository(problem, features, store.data_dir, hardware, online_store))
        build(problem, features, columns, tables.path, history, hardware, folder)

    register(store, problem, features, model, evaluation, hardware, online_store)
    return store.build(
        recipes.training_set(problem, features, model, evaluation),
        {"tables": tables, "feature_tables": feature_tables},
        write,
        code=("features", "engine", "==duckdb", "==feast"),
    )


def register(
    store: ArtifactStore,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    evaluation: EvaluationSpec,
    hardware: HardwareSpec,
    online_store: str,
) -> None:
    """Register the features, and those that the model reads, with Feast, unless that was done last."""
    columns = columns_of(features, model, evaluation.baseline)
    feast = store.data_dir / "feature_store"
    registry = Stamp(feast / problem.name / "registered", place=feast / "registry.db")
    place = str(store.data_dir.resolve())  # the registry holds absolute paths
    registered = {"features": features, "columns": columns, "service": service_name(problem, model), "place": place}
    registered["online_store"] = online_store
    if registry.matches(registered):
        return
    from proml_kedro.features.feast.repository import open_repository
    from proml_kedro.features.feast.repository import register as apply

    registry.remove()
    repository = open_repository(problem, features, store.data_dir, hardware, online_store)
    apply(repository, problem, features, service_name(problem, model), columns)
    registry.write(registered)


def service_name(problem: ProblemSpec, model: ModelSpec) -> str:
    """The name of the model's feature service in the registry."""
    return f"{problem.name}_{model.name}"
