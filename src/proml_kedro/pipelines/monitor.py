"""Whether current data is still like the reference: verdict, report, exit code."""

from __future__ import annotations

from pathlib import Path

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.spec import FeaturesSpec, HardwareSpec, ModelSpec, MonitoringSpec, ProblemSpec
from proml_kedro.spec.inputs import input_types


def create_pipeline() -> Pipeline:
    """Compare current data with the reference."""
    return Pipeline(
        [
            Node(
                check_drift,
                [
                    "store",
                    "training_set",
                    "trained_model",
                    "params:problem",
                    "params:features",
                    "params:model",
                    "params:monitoring",
                    "params:hardware",
                    "params:base_path",
                    "params:seed",
                ],
                "drift",
                name="check_drift",
            )
        ]
    )


def check_drift(
    store: ArtifactStore,
    training_set: Artifact,
    trained_model: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    monitoring: MonitoringSpec,
    hardware: HardwareSpec,
    base_path: str,
    seed: int,
) -> Artifact:
    """Check every input of the model and its score, and write the verdict beside Evidently's report."""
    from proml_kedro.health.read_current import file_fingerprint
    from proml_kedro.health.report import show_in_ci

    path = Path(base_path, monitoring.current.path) if monitoring.current.path else None

    def write(folder: Path) -> None:
        from proml_kedro.health.calibrate import calibrate
        from proml_kedro.health.drift import check_drift as check
        from proml_kedro.health.evidently_report import write_report
        from proml_kedro.health.periods import History
        from proml_kedro.health.read_current import read_current
        from proml_kedro.health.report import write_result
        from proml_kedro.models.graph.graph import ModelGraph

        graph = ModelGraph.load(model, input_types(problem, features), trained_model.path, problem.label.task)
        past = History(training_set.file("training_set.parquet"), graph)
        reference = past.end_of(monitoring.reference.split, monitoring.reference.last)
        if path:
            current = past.with_score(read_current(path, graph.inputs, hardware, features))
        else:
            current = past.end_of(monitoring.current.split, monitoring.current.last)
        movements = calibrate(past.periods(monitoring), past.inputs, monitoring.gate)
        result = check(reference, current, past.inputs, monitoring.gate, movements)
        write_result(folder, result, f"{problem.name} · {model.name}")
        write_report(folder / "drift.html", reference, current, past.inputs, monitoring.report_rows, seed)

    drift = store.build(
        f"{problem.name}/{model.name}/drift",
        {
            "training_set": training_set,
            "model": trained_model,
            "monitoring": monitoring,
            "current": file_fingerprint(path) if path else None,
            "on_demand": {name: view for name, view in features.views.items() if view.is_on_demand},
            "seed": seed,
        },
        write,
        code=("health", "models", "plots", "pipelines.monitor", "==evidently"),
    )
    show_in_ci(drift.file("drift.md"))
    return drift
