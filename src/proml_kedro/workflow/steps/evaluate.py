"""Fitted models → metrics on the test period, and whether the difference to the baseline is real."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.results.names import examples_file
from proml_kedro.spec.evaluation import LATENCY
from proml_kedro.spec.split import TEST, VALIDATION
from proml_kedro.spec.training_set import DAY, EXAMPLE_ID, GROUP, LABEL, SPLIT, TIMESTAMP, WEIGHT
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import model_code
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.folds import evaluate_folds
from proml_kedro.workflow.steps.scored import FittedModel, as_columns, for_problem, score_test

if TYPE_CHECKING:
    from proml_kedro.evaluation.rows import Slice
    from proml_kedro.evaluation.sections import Sample


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
    from proml_kedro.evaluation.learning import draw_learning
    from proml_kedro.evaluation.report import Insight, write_report
    from proml_kedro.evaluation.scores import write_scores
    from proml_kedro.evaluation.sections import sections_of
    from proml_kedro.results import TrainingSetFacts

    spec, evaluation = run.spec, for_problem(run)
    classes = TrainingSetFacts.read(rows.parent).classes
    candidate = FittedModel.load(run, rows, spec.model, trained_model)
    baseline = FittedModel.load(run, rows, evaluation.baseline, trained_baseline) if evaluation.baseline else None
    scored = replace(score_test(run, rows, candidate, baseline, classes), slices=_slices(run, rows))
    latency = _latency_ms(run, rows, candidate) if LATENCY in evaluation.gates else None
    result = evaluate(scored, evaluation, evaluation.ranking_for(spec.problem), spec.seed, latency)
    learning = [line for one in candidate.graph.curves().items() for line in draw_learning(folder, *one)]
    lines = [*learning, *candidate.graph.report(folder), *evaluate_folds(run, rows, scored, folder)]
    sections = list(sections_of(result, scored, _sample(run, rows, candidate), spec.evaluation.costs, spec.seed))
    write_report(folder, result, scored, Insight(candidate.graph.importance(), lines, sections))
    validation = candidate.scores(VALIDATION), baseline.scores(VALIDATION) if baseline else None
    scores = {
        VALIDATION: as_columns(*validation, classes),
        TEST: as_columns(scored.candidate, scored.baseline, classes),
    }
    write_scores(folder, rows, _kept_columns(run), scores, classes)


def _sample(run: Run, rows: Path, candidate: FittedModel) -> Sample:
    """Rows of the test period with the model's inputs: all, or every second, third and so on where there are many."""
    import numpy as np

    from proml_kedro.evaluation.sections import Sample
    from proml_kedro.models.columns import ParquetRows

    source, inputs = ParquetRows(rows, TEST, run.spec.hardware.precision), candidate.graph.inputs
    most = max(1000, min(_SAMPLED_ROWS, _SAMPLED_NUMBERS // sum(one.size or 1 for one in inputs)))
    every, first, at, parts = -(-len(source) // most) or 1, 0, [], []
    for batch in source.batches(inputs, 1 << 14):
        size = len(next(iter(batch.values())))
        here = np.arange(-first % every, size, every)
        at.append(first + here)
        parts.append({name: values[here] for name, values in batch.items()})
        first += size
    columns = {one.name: np.concatenate([part[one.name] for part in parts]) for one in inputs}
    worth = candidate.graph.importance()
    chosen = sorted(columns, key=lambda name: -worth.get(name, 0.0))
    return Sample(columns, np.concatenate(at), candidate.graph.score, chosen, candidate.graph.explain)


_SAMPLED_ROWS, _SAMPLED_NUMBERS = 100_000, 5_000_000


def _latency_ms(run: Run, rows: Path, candidate: FittedModel) -> float:
    """Milliseconds that one row takes in process, in 99 of 100 cases: rows of the test period, one by one."""
    import numpy as np

    from proml_kedro.bundle.row_scorer import RowScorer
    from proml_kedro.models.columns import ParquetRows

    scorer = RowScorer(candidate.graph, run.spec.features, run.spec.hardware.precision)
    columns = next(ParquetRows(rows, TEST, "float64").batches(scorer.inputs, _TIMED_ROWS))
    took = []
    for row in range(len(next(iter(columns.values())))):
        one = {name: values[row : row + 1] for name, values in columns.items()}
        began = time.perf_counter()
        scorer.score(one)
        took.append(time.perf_counter() - began)
    return 1000 * float(np.quantile(took[len(took) // 10 :], 0.99))  # the first ones load what is loaded once


_TIMED_ROWS = 330


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
