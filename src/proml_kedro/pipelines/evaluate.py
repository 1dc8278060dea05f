"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.pipeline import Node, Pipeline

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.spec import EvaluationSpec, FeaturesSpec, HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.spec.inputs import input_types
from proml_kedro.workflow import recipes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.models.component import Columns
    from proml_kedro.models.graph.graph import ModelGraph


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
    rows, task = training_set.file("training_set.parquet"), problem.label.task
    ranking, neutral = evaluation.ranking_for(problem), features.neutral()

    def write(folder: Path) -> None:
        from proml_kedro.evaluation.compare import evaluate as compare
        from proml_kedro.evaluation.report import Insight, write_report
        from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
        from proml_kedro.models.columns import in_split, read_codes, read_columns
        from proml_kedro.models.component import Input
        from proml_kedro.models.graph.graph import ModelGraph

        def score(spec: ModelSpec, trained: Artifact) -> tuple[ModelGraph, ModelScores]:
            graph = ModelGraph.load(spec, input_types(problem, features), trained.path, task)
            columns = read_columns(rows, graph.inputs, in_split("test"), hardware.precision)
            order = _order(graph, columns, neutral) if ranking else None
            return graph, ModelScores(spec.name, graph.score(columns), order)

        graph, candidate = score(model, trained_model)
        cluster = evaluation.compare.cluster_by
        wanted = dict.fromkeys(["label", "day", *([cluster] if cluster != "row" else [])])
        inputs = [Input(name, "float" if name == "label" else "str") for name in wanted]
        columns = read_columns(rows, inputs, in_split("test"), "float64")
        groups = Grouping(ranking.within, read_codes(rows, ranking.within, in_split("test"))) if ranking else None
        scored = ScoredRows(
            label=columns["label"],
            candidate=candidate,
            baseline=score(evaluation.baseline, trained_baseline)[1] if evaluation.baseline else None,
            task=task,
            clusters=columns.get(cluster),
            grouping=groups,
        )
        result = compare(scored, evaluation, ranking, seed)
        write_report(folder, result, scored, columns["day"], Insight(graph.importance(), graph.report(folder)))

    return store.build(
        recipes.evaluated(recipes.Fitting(problem, features, model, evaluation, hardware, seed)),
        {"training_set": training_set, "trained_model": trained_model, "trained_baseline": trained_baseline},
        write,
        code=("evaluation", "models", "plots", "pipelines.evaluate"),
    )


def _order(graph: ModelGraph, columns: Columns, neutral: Mapping[str, object]) -> npt.NDArray[np.float64]:
    """Scores as they would be before anything was put in order: neutral features are the same for all rows."""
    import numpy as np

    changed = dict(columns)
    for name, value in neutral.items():
        if name in changed:
            changed[name] = np.full_like(changed[name], value)
    return graph.score(changed)
