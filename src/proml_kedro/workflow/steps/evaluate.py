"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.results.names import examples_file
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.split import TEST
from proml_kedro.spec.training_set import DAY, LABEL
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import model_code
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.rows import ModelScores
    from proml_kedro.models.component import Columns
    from proml_kedro.models.graph import ModelGraph


def evaluate_model(run: Run, training_set: Artifact, trained_model: Artifact, trained_baseline: Artifact) -> Artifact:
    """Score the test period with both models and write metrics, comparison, plots and a report."""
    trained = {"trained_model": trained_model, "trained_baseline": trained_baseline}
    return run.store.build(
        recipes.evaluation(run.spec),
        {"training_set": training_set, **trained},
        lambda folder: _write(run, examples_file(training_set.path), trained_model, trained_baseline, folder),
        code=("evaluation", "workflow/steps/evaluate.py", *model_code(run.spec.model, run.spec.evaluation.baseline)),
    )


def _write(run: Run, rows: Path, trained_model: Artifact, trained_baseline: Artifact, folder: Path) -> None:
    from proml_kedro.evaluation.compare import evaluate
    from proml_kedro.evaluation.report import Insight, write_report
    from proml_kedro.evaluation.rows import Grouping, ScoredRows
    from proml_kedro.models.columns import in_split, read_codes

    spec, evaluation = run.spec, _for_problem(run)
    graph, candidate = _score(run, rows, spec.model, trained_model)
    facts, ranking = _facts(run, rows), evaluation.ranking_for(spec.problem)
    scored = ScoredRows(
        label=facts[LABEL],
        candidate=candidate,
        baseline=_score(run, rows, evaluation.baseline, trained_baseline)[1] if evaluation.baseline else None,
        task=spec.problem.label.task,
        clusters=facts.get(evaluation.compare.cluster_by),
        days=facts.get(DAY),
        grouping=Grouping(ranking.within, read_codes(rows, ranking.within, in_split(TEST))) if ranking else None,
    )
    result = evaluate(scored, evaluation, ranking, spec.seed)
    write_report(folder, result, scored, Insight(graph.importance(), graph.report(folder)))


def _for_problem(run: Run) -> EvaluationSpec:
    evaluation = run.spec.evaluation
    cluster = evaluation.cluster_for(run.spec.problem)
    return evaluation.model_copy(update={"compare": evaluation.compare.model_copy(update={"cluster_by": cluster})})


def _score(run: Run, rows: Path, model: ModelSpec, trained: Artifact) -> tuple[ModelGraph, ModelScores]:
    """Load a model and score the test rows."""
    from proml_kedro.evaluation.rows import ModelScores
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.graph import ModelGraph

    problem = run.spec.problem
    graph = ModelGraph.load(model, run.input_types, trained.path, problem.label.task)
    columns = read_columns(rows, graph.inputs, in_split(TEST), run.spec.hardware.precision)
    ranked = run.spec.evaluation.ranking_for(problem) is not None
    scores = graph.score(columns)
    return graph, ModelScores(model.name, scores, _order(run, rows, graph, scores) if ranked else None)


def _facts(run: Run, rows: Path) -> Columns:
    """Label, cluster and, where there is one, day of the test rows."""
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.component import Input

    cluster = _for_problem(run).compare.cluster_by
    days = [DAY] if run.spec.problem.examples.timestamp else []
    names = dict.fromkeys([LABEL, *days, *([cluster] if cluster != "row" else [])])
    inputs = [Input(name, "float" if name == LABEL else "str") for name in names]
    return read_columns(rows, inputs, in_split(TEST), "float64")


def _order(run: Run, rows: Path, graph: ModelGraph, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores as they would be before anything was put in order: neutral features are the same for all rows."""
    from proml_kedro.bundle.row_scorer import RowScorer
    from proml_kedro.models.columns import in_split, read_columns

    scorer = RowScorer(graph, run.spec.features, run.spec.hardware.precision)
    if not scorer.neutral:
        return scores
    return scorer.order_scores(read_columns(rows, scorer.inputs, in_split(TEST), "float64"))
