"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from pathlib import Path

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.spec.inputs import input_types


def create_pipeline() -> Pipeline:
    """Judge the model and its baseline by the same rows."""
    return Pipeline(
        [
            Node(
                evaluate,
                [
                    "store",
                    "training_set",
                    "trained_model",
                    "trained_baseline",
                    "params:problem",
                    "params:features",
                    "params:model",
                    "params:evaluation",
                    "params:hardware",
                    "params:seed",
                ],
                "evaluation",
                name="evaluate",
            )
        ]
    )


def evaluate(
    store: ArtifactStore,
    training_set: Artifact,
    trained_model: Artifact,
    trained_baseline: Artifact,
    problem: ProblemSpec,
    features: FeaturesSpec,
    model: ModelSpec,
    evaluation: EvaluationSpec,
    hardware: HardwareSpec,
    seed: int,
) -> Artifact:
    """Score the test period with both models and write metrics, comparison, plots and a report."""
    rows = training_set.file("training_set.parquet")

    def write(folder: Path) -> None:
        from proml_kedro.evaluation.compare import evaluate as judge
        from proml_kedro.evaluation.report import write_report
        from proml_kedro.models.columns import in_split, read_columns
        from proml_kedro.models.component import Input
        from proml_kedro.models.graph import ModelGraph

        test, task = in_split("test"), problem.label.task
        graph = ModelGraph.load(model, input_types(problem, features), trained_model.path, task)
        candidate = graph.score(read_columns(rows, graph.inputs, test, hardware.precision))
        baseline = None
        if evaluation.baseline:
            other = ModelGraph.load(evaluation.baseline, input_types(problem, features), trained_baseline.path, task)
            baseline = other.score(read_columns(rows, other.inputs, test, hardware.precision))
        cluster = evaluation.compare.cluster_by
        wanted = dict.fromkeys(["label", "day", *([cluster] if cluster != "row" else [])])
        columns = read_columns(rows, [Input(name, "float" if name == "label" else "str") for name in wanted], test)
        result = judge(columns["label"], candidate, baseline, columns.get(cluster), evaluation, seed)
        write_report(
            folder,
            result,
            columns["label"],
            columns["day"],
            (model.name, candidate),
            (evaluation.baseline.name, baseline) if evaluation.baseline and baseline is not None else None,
            graph.importance(),
        )

    return store.build(
        f"{problem.name}/{model.name}/evaluation",
        {
            "training_set": training_set,
            "model": trained_model,
            "baseline": trained_baseline,
            "evaluation": evaluation,
            "seed": seed,
        },
        write,
        code=("evaluation", "models", "plots"),
    )
