"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.spec import ModelSpec
from proml_kedro.workflow import recipes
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.rows import ModelScores
    from proml_kedro.models.component import Columns
    from proml_kedro.models.graph.graph import ModelGraph


def evaluate_model(run: Run, training_set: Artifact, trained_model: Artifact, trained_baseline: Artifact) -> Artifact:
    """Score the test period with both models and write metrics, comparison, plots and a report."""
    trained = {"trained_model": trained_model, "trained_baseline": trained_baseline}
    return run.store.build(
        recipes.evaluation(run.spec),
        {"training_set": training_set, **trained},
        lambda folder: _write(run, training_set.file("training_set.parquet"), trained_model, trained_baseline, folder),
        code=("evaluation", "models", "plots", "workflow.steps.evaluate"),
    )


def _write(run: Run, rows: Path, trained_model: Artifact, trained_baseline: Artifact, folder: Path) -> None:
    from proml_kedro.evaluation.compare import evaluate
    from proml_kedro.evaluation.report import Insight, write_report
    from proml_kedro.evaluation.rows import Grouping, ScoredRows
    from proml_kedro.models.columns import in_split, read_codes

    spec, evaluation = run.spec, run.spec.evaluation
    graph, candidate = _score(run, rows, spec.model, trained_model)
    facts, ranking = _facts(run, rows), evaluation.ranking_for(spec.problem)
    scored = ScoredRows(
        label=facts["label"],
        candidate=candidate,
        baseline=_score(run, rows, evaluation.baseline, trained_baseline)[1] if evaluation.baseline else None,
        task=spec.problem.label.task,
        clusters=facts.get(evaluation.compare.cluster_by),
        grouping=Grouping(ranking.within, read_codes(rows, ranking.within, in_split("test"))) if ranking else None,
    )
    result = evaluate(scored, evaluation, ranking, spec.seed)
    write_report(folder, result, scored, facts["day"], Insight(graph.importance(), graph.report(folder)))


def _score(run: Run, rows: Path, model: ModelSpec, trained: Artifact) -> tuple[ModelGraph, ModelScores]:
    """Load a model and score the test rows."""
    from proml_kedro.evaluation.rows import ModelScores
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.graph.graph import ModelGraph

    problem = run.spec.problem
    graph = ModelGraph.load(model, run.input_types, trained.path, problem.label.task)
    columns = read_columns(rows, graph.inputs, in_split("test"), run.spec.hardware.precision)
    ranked = run.spec.evaluation.ranking_for(problem) is not None
    order = _order(graph, columns, run.spec.features.neutral()) if ranked else None
    return graph, ModelScores(model.name, graph.score(columns), order)


def _facts(run: Run, rows: Path) -> Columns:
    """Label, day and cluster of the test rows."""
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.component import Input

    cluster = run.spec.evaluation.compare.cluster_by
    names = dict.fromkeys(["label", "day", *([cluster] if cluster != "row" else [])])
    inputs = [Input(name, "float" if name == "label" else "str") for name in names]
    return read_columns(rows, inputs, in_split("test"), "float64")


def _order(graph: ModelGraph, columns: Columns, neutral: Mapping[str, object]) -> npt.NDArray[np.float64]:
    """Scores as they would be before anything was put in order: neutral features are the same for all rows."""
    import numpy as np

    changed = dict(columns)
    for name, value in neutral.items():
        if name in changed:
            changed[name] = np.full_like(changed[name], value)
    return graph.score(changed)
