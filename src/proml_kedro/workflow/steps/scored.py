"""Rows of the test period with the scores of a model and its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from proml_kedro.artifacts import Artifact
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.split import TEST, SplitName
from proml_kedro.spec.training_set import BASELINE, DAY, LABEL, ORDER, SCORE
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.rows import ModelScores, ScoredRows
    from proml_kedro.models.component import Array, Columns
    from proml_kedro.models.graph import ModelGraph


def score_test(
    run: Run, rows: Path, candidate: FittedModel, baseline: FittedModel | None, classes: Sequence[str]
) -> ScoredRows:
    """Score the test rows of a training set.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        candidate: The model.
        baseline: The baseline; None when there is none.
        classes: Names of the label's classes; empty for other tasks.
    """
    from proml_kedro.evaluation.rows import Grouping, ScoredRows
    from proml_kedro.models.columns import in_split, read_codes

    evaluation, problem = for_problem(run), run.spec.problem
    facts, ranking = _facts(run, rows), evaluation.ranking_for(problem)
    return ScoredRows(
        label=facts[LABEL],
        candidate=candidate.scores(TEST),
        baseline=baseline.scores(TEST) if baseline else None,
        task=problem.label.task,
        clusters=facts.get(evaluation.compare.cluster_by),
        days=facts.get(DAY),
        grouping=Grouping(ranking.within, read_codes(rows, ranking.within, in_split(TEST))) if ranking else None,
        classes=tuple(classes),
        ordered=problem.label.ordered,
    )


def for_problem(run: Run) -> EvaluationSpec:
    """Return how to evaluate, with what the bootstrap draws as the problem has it."""
    evaluation = run.spec.evaluation
    cluster = evaluation.cluster_for(run.spec.problem)
    return evaluation.model_copy(update={"compare": evaluation.compare.model_copy(update={"cluster_by": cluster})})


class FittedModel:
    """Fitted model that scores the splits of a training set.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        graph: The model.
    """

    def __init__(self, run: Run, rows: Path, graph: ModelGraph) -> None:
        self._run, self._rows, self.graph = run, rows, graph

    @classmethod
    def load(cls, run: Run, rows: Path, spec: ModelSpec, trained: Artifact) -> Self:
        """Load a model.

        Args:
            run: The run.
            rows: The Parquet file of the training set.
            spec: What was fitted.
            trained: Its weights.
        """
        from proml_kedro.models.graph import ModelGraph

        return cls(run, rows, ModelGraph.load(spec, run.input_types, trained.path, run.spec.problem.label.task))

    def scores(self, split: SplitName) -> ModelScores:
        """Score the rows of a split, in their order; few of them are in memory at a time."""
        from proml_kedro.evaluation.rows import ModelScores
        from proml_kedro.models.columns import ParquetRows

        spec = self._run.spec
        scores = self.graph.score_rows(ParquetRows(self._rows, split, spec.hardware.precision))
        ranked = spec.evaluation.ranking_for(spec.problem) is not None
        return ModelScores(self.graph.spec.name, scores, self._order(split, scores) if ranked else None)

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

    cluster = for_problem(run).compare.cluster_by
    days = [DAY] if run.spec.problem.examples.timestamp else []
    names = dict.fromkeys([LABEL, *days, *([cluster] if cluster != "row" else [])])
    inputs = [Input(name, "float" if name == LABEL else "str") for name in names]
    return read_columns(rows, inputs, in_split(TEST), "float64")


def as_columns(candidate: ModelScores, baseline: ModelScores | None, classes: Sequence[str]) -> dict[str, Array]:
    """Make the columns of a file of scores.

    Args:
        candidate: The model's scores.
        baseline: Those of the baseline; None when there is none.
        classes: Names of the label's classes; empty for other tasks.
    """
    from proml_kedro.evaluation.class_scores import baseline_columns, class_columns

    if classes:
        of_baseline = baseline_columns(baseline.scores, classes) if baseline else {}
        return class_columns(candidate.scores, classes) | of_baseline
    columns = {SCORE: candidate.scores}
    if baseline:
        columns[BASELINE] = baseline.scores
    return columns if candidate.order is None else {**columns, ORDER: candidate.order}
