"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.results.names import examples_file
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.split import TEST, VALIDATION, SplitName
from proml_kedro.spec.training_set import (
    BASELINE,
    DAY,
    EXAMPLE_ID,
    GROUP,
    LABEL,
    ORDER,
    SCORE,
    SPLIT,
    TIMESTAMP,
    WEIGHT,
)
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import model_code
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.rows import ModelScores, Slice
    from proml_kedro.models.component import Columns
    from proml_kedro.models.graph import ModelGraph


def evaluate_model(run: Run, training_set: Artifact, trained_model: Artifact, trained_baseline: Artifact) -> Artifact:
    """Score validation and test with both models; write the scores, and metrics, plots and a report of the test."""
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
    from proml_kedro.evaluation.scores import write_scores
    from proml_kedro.models.columns import in_split, read_codes

    spec, evaluation = run.spec, _for_problem(run)
    candidate = _Model(run, rows, spec.model, trained_model)
    baseline = _Model(run, rows, evaluation.baseline, trained_baseline) if evaluation.baseline else None
    facts, ranking = _facts(run, rows), evaluation.ranking_for(spec.problem)
    scored = ScoredRows(
        label=facts[LABEL],
        candidate=candidate.scores(TEST),
        baseline=baseline.scores(TEST) if baseline else None,
        task=spec.problem.label.task,
        clusters=facts.get(evaluation.compare.cluster_by),
        days=facts.get(DAY),
        grouping=Grouping(ranking.within, read_codes(rows, ranking.within, in_split(TEST))) if ranking else None,
        slices=_slices(run, rows),
    )
    result = evaluate(scored, evaluation, ranking, spec.seed)
    write_report(folder, result, scored, Insight(candidate.graph.importance(), candidate.graph.report(folder)))
    validation = candidate.scores(VALIDATION), baseline.scores(VALIDATION) if baseline else None
    scores = {VALIDATION: _as_columns(*validation), TEST: _as_columns(scored.candidate, scored.baseline)}
    write_scores(folder, rows, _kept_columns(run), scores)


def _slices(run: Run, rows: Path) -> list[Slice]:
    """Parts of the test period: by whether training has seen a key, and by columns that the configuration names."""
    from proml_kedro.evaluation.slices import by_knowledge, by_value

    keys, columns = run.spec.problem.examples.entities, run.spec.evaluation.slices
    known = [one for key in keys for one in by_knowledge(rows, key)]
    return [*known, *(one for column in columns for one in by_value(rows, column))]


def _kept_columns(run: Run) -> list[str]:
    """Columns of the training set that go with the scores."""
    examples = run.spec.problem.examples
    moment = [TIMESTAMP, DAY] if examples.timestamp else []
    weight = [WEIGHT] if examples.weight is not None else []
    group = [GROUP] if examples.group is not None else []
    return [EXAMPLE_ID, *examples.entities, *moment, SPLIT, LABEL, *weight, *group]


def _as_columns(candidate: ModelScores, baseline: ModelScores | None) -> dict[str, npt.NDArray[np.float64]]:
    columns = {SCORE: candidate.scores}
    if baseline:
        columns[BASELINE] = baseline.scores
    return columns if candidate.order is None else {**columns, ORDER: candidate.order}


def _for_problem(run: Run) -> EvaluationSpec:
    evaluation = run.spec.evaluation
    cluster = evaluation.cluster_for(run.spec.problem)
    return evaluation.model_copy(update={"compare": evaluation.compare.model_copy(update={"cluster_by": cluster})})


class _Model:
    """Fitted model that scores the splits of a training set.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        spec: What was fitted.
        trained: Its weights.
    """

    def __init__(self, run: Run, rows: Path, spec: ModelSpec, trained: Artifact) -> None:
        from proml_kedro.models.graph import ModelGraph

        self._run, self._rows, self._name = run, rows, spec.name
        self.graph: ModelGraph = ModelGraph.load(spec, run.input_types, trained.path, run.spec.problem.label.task)

    def scores(self, split: SplitName) -> ModelScores:
        """Score the rows of a split, in their order; few of them are in memory at a time."""
        from proml_kedro.evaluation.rows import ModelScores
        from proml_kedro.models.columns import ParquetRows

        spec = self._run.spec
        scores = self.graph.score_rows(ParquetRows(self._rows, split, spec.hardware.precision))
        ranked = spec.evaluation.ranking_for(spec.problem) is not None
        return ModelScores(self._name, scores, self._order(split, scores) if ranked else None)

    def _order(self, split: SplitName, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Scores as they would be before anything was put in order: neutral features are the same for all rows."""
        from proml_kedro.bundle.row_scorer import RowScorer
        from proml_kedro.models.columns import in_split, read_columns

        scorer = RowScorer(self.graph, self._run.spec.features, self._run.spec.hardware.precision)
        if not scorer.neutral:
            return scores
        return scorer.order_scores(read_columns(self._rows, scorer.inputs, in_split(split), "float64"))


def _facts(run: Run, rows: Path) -> Columns:
    """Label, cluster and, where there is one, day of the test rows."""
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.component import Input

    cluster = _for_problem(run).compare.cluster_by
    days = [DAY] if run.spec.problem.examples.timestamp else []
    names = dict.fromkeys([LABEL, *days, *([cluster] if cluster != "row" else [])])
    inputs = [Input(name, "float" if name == LABEL else "str") for name in names]
    return read_columns(rows, inputs, in_split(TEST), "float64")
