"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.spec import ModelSpec
from proml_kedro.workflow import recipes
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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
    from proml_kedro.evaluation.compare import Rankings, evaluate
    from proml_kedro.evaluation.report import write_report
    from proml_kedro.models.columns import in_split, read_codes

    spec, evaluation = run.spec, run.spec.evaluation
    ours = _score(run, rows, spec.model, trained_model)
    theirs = _score(run, rows, evaluation.baseline, trained_baseline) if evaluation.baseline else None
    facts = _facts(run, rows)
    ranking, rankings = evaluation.ranking_for(spec.problem), None
    if ranking and ours.order is not None:
        groups = read_codes(rows, ranking.within, in_split("test"))
        rankings = Rankings(ranking.within, ranking.metrics, groups, ours.order, theirs.order if theirs else None)
    result = evaluate(
        facts["label"],
        ours.scores,
        theirs.scores if theirs else None,
        facts.get(evaluation.compare.cluster_by),
        evaluation,
        spec.seed,
        task=spec.problem.label.task,
        rankings=rankings,
    )
    write_report(
        folder,
        result,
        facts["label"],
        facts["day"],
        (spec.model.name, ours.scores),
        (evaluation.baseline.name, theirs.scores) if evaluation.baseline and theirs else None,
        ours.graph.importance(),
        ours.graph.report(folder),
    )


@dataclass(frozen=True)
class _ScoredModel:
    """A model on the test rows.

    Attributes:
        graph: The model.
        scores: Of the rows as they are, shape (n,).
        order: What the rows are put in order by, shape (n,); None where no order is judged.
    """

    graph: ModelGraph
    scores: npt.NDArray[np.float64]
    order: npt.NDArray[np.float64] | None


def _score(run: Run, rows: Path, model: ModelSpec, trained: Artifact) -> _ScoredModel:
    from proml_kedro.models.columns import in_split, read_columns
    from proml_kedro.models.graph.graph import ModelGraph

    problem = run.spec.problem
    graph = ModelGraph.load(model, run.input_types, trained.path, problem.label.task)
    columns = read_columns(rows, graph.inputs, in_split("test"), run.spec.hardware.precision)
    ranked = run.spec.evaluation.ranking_for(problem) is not None
    order = _order(graph, columns, run.spec.features.neutral()) if ranked else None
    return _ScoredModel(graph, graph.score(columns), order)


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
