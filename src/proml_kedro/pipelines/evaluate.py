"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from dataclasses import dataclass
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
    ranking = evaluation.ranking_for(problem)

    def write(folder: Path) -> None:
        from proml_kedro.bundle.row_scorer import RowScorer
        from proml_kedro.evaluation.compare import Rankings
        from proml_kedro.evaluation.compare import evaluate as judge
        from proml_kedro.evaluation.report import write_report
        from proml_kedro.models.columns import in_split, read_codes, read_columns
        from proml_kedro.models.component import Input
        from proml_kedro.models.graph.graph import ModelGraph

        def score(spec: ModelSpec, trained: Artifact) -> _Scored:
            graph = ModelGraph.load(spec, input_types(problem, features), trained.path, task)
            scores = graph.score(read_columns(rows, graph.inputs, in_split("test"), hardware.precision))
            return _Scored(graph, scores, _order(graph, scores) if ranking else None)

        def _order(graph: ModelGraph, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            scorer = RowScorer(graph, features, hardware.precision)
            if not scorer.neutral:
                return scores
            return scorer.order_scores(read_columns(rows, scorer.inputs, in_split("test"), "float64"))

        ours = score(model, trained_model)
        theirs = score(evaluation.baseline, trained_baseline) if evaluation.baseline else None
        cluster = evaluation.compare.cluster_by
        wanted = dict.fromkeys(["label", "day", *([cluster] if cluster != "row" else [])])
        inputs = [Input(name, "float" if name == "label" else "str") for name in wanted]
        columns = read_columns(rows, inputs, in_split("test"), "float64")
        rankings = None
        if ranking and ours.order is not None:
            groups = read_codes(rows, ranking.within, in_split("test"))
            rankings = Rankings(ranking.within, ranking.metrics, groups, ours.order, theirs.order if theirs else None)
        result = judge(
            columns["label"],
            ours.scores,
            theirs.scores if theirs else None,
            columns.get(cluster),
            evaluation,
            seed,
            task=task,
            rankings=rankings,
        )
        write_report(
            folder,
            result,
            columns["label"],
            columns["day"],
            (model.name, ours.scores),
            (evaluation.baseline.name, theirs.scores) if evaluation.baseline and theirs else None,
            ours.graph.importance(),
            ours.graph.report(folder),
        )

    return store.build(
        recipes.evaluated(recipes.Fitting(problem, features, model, evaluation, hardware, seed)),
        {"training_set": training_set, "trained_model": trained_model, "trained_baseline": trained_baseline},
        write,
        code=("evaluation", "models", "plots", "pipelines.evaluate"),
    )


@dataclass(frozen=True)
class _Scored:
    """A model on the test rows.

    Attributes:
        graph: The model.
        scores: Of the rows as they are, shape (n,).
        order: What the rows are put in order by, shape (n,); None where no order is judged.
    """

    graph: ModelGraph
    scores: npt.NDArray[np.float64]
    order: npt.NDArray[np.float64] | None
