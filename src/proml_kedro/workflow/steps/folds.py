"""The folds of a rolling origin, each judged by a model of its own, apart and together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from proml_kedro.results import FoldFacts, Folds
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.split import SPLITS, TEST, TRAIN, VALIDATION, Fold
from proml_kedro.spec.training_set import EXAMPLE_ID, LABEL, SPLIT, TIMESTAMP
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.scored import FittedModel, as_columns, for_problem, score_test
from proml_kedro.workflow.steps.train import fit_graph

if TYPE_CHECKING:
    from proml_kedro.evaluation.result import Evaluation
    from proml_kedro.evaluation.rows import ScoredRows


def evaluate_folds(run: Run, rows: Path, last: ScoredRows, folder: Path) -> list[str]:
    """Train and judge a model, and a baseline, for each fold before the last one; write ``folds.json``.

    Features are those of the training set: each example's as of its own moment, whichever fold it is in.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        last: The test rows of the last fold, as the run's own models score them.
        folder: Of the evaluation.

    Returns:
        Lines of Markdown for the report; none where the split has no folds.
    """
    folds = run.spec.problem.split.folds_until(newest_moment(rows)) if run.spec.problem.examples.timestamp else []
    if not folds:
        return []
    scored: list[ScoredRows] = []
    ids: list[Any] = []
    learned: list[int] = []
    with TemporaryDirectory(dir=folder, prefix="fold_") as place:
        for number, fold in enumerate(folds, 1):
            file = Path(place) / f"{number}.parquet"
            counts = write_fold(rows, fold, file)
            scored.append(last if number == len(folds) else _score(run, file, last.classes))
            ids.append(_test_ids(file))
            learned.append(counts[TRAIN] + counts[VALIDATION])
            file.unlink()
    together = scored[0].join(scored[1:])
    results = [_evaluate(run, one) for one in (*scored, together)]
    periods = [*folds, Fold(folds[0].validation_from, folds[0].test_from, folds[-1].end)]
    facts = [_facts(*one) for one in zip(results, periods, [*learned, None], strict=True)]
    found = Folds.of({"folds": facts[:-1], "together": facts[-1]})
    found.write(folder)
    _write_scores(folder, scored, ids)
    return [*_markdown([*found.folds, found.together])]


def write_fold(rows: Path, fold: Fold, target: Path) -> dict[str, int]:
    """Write the examples of a fold, divided as the fold says, and return how many are in each part.

    Args:
        rows: The Parquet file of the training set.
        fold: The fold.
        target: The file to write.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    with pq.ParquetFile(rows) as file, pq.ParquetWriter(target, file.schema_arrow) as writer:
        place = file.schema_arrow.get_field_index(SPLIT)
        for batch in file.iter_batches():
            kept = batch.filter(pc.less(batch.column(TIMESTAMP), pa.scalar(fold.end)))
            moments = kept.column(TIMESTAMP)
            later = pc.if_else(pc.less(moments, pa.scalar(fold.test_from)), VALIDATION, TEST)
            parts = pc.if_else(pc.less(moments, pa.scalar(fold.validation_from)), TRAIN, later)
            columns = [parts if at == place else kept.column(at) for at in range(kept.num_columns)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=file.schema_arrow))
            for one in pc.value_counts(parts).to_pylist():
                counts[one["values"]] += one["counts"]
    return counts


def _score(run: Run, rows: Path, classes: Sequence[str]) -> ScoredRows:
    baseline = run.spec.evaluation.baseline
    candidate = _fit(run, rows, run.spec.model, "model", classes)
    other = _fit(run, rows, baseline, "evaluation.baseline", classes) if baseline else None
    return score_test(run, rows, candidate, other, classes)


def _fit(run: Run, rows: Path, model: ModelSpec, key: str, classes: Sequence[str]) -> FittedModel:
    from proml_kedro.models.component import FitContext

    context = FitContext(run.spec.hardware, run.spec.seed, key, classes=len(classes))
    return FittedModel(run, rows, fit_graph(run, rows, model, context))


def _evaluate(run: Run, rows: ScoredRows) -> Evaluation:
    from proml_kedro.evaluation.compare import evaluate

    evaluation = for_problem(run)
    return evaluate(replace(rows, slices=()), evaluation, evaluation.ranking_for(run.spec.problem), run.spec.seed)


def _facts(result: Evaluation, period: Fold, learned: int | None) -> dict[str, Any]:
    found = result.as_dict()
    content = {name: found[name] for name in ("rows", "candidate", "baseline", "differences")}
    start, to = (moment.isoformat() for moment in (period.test_from, period.end))
    return {"from": start, "to": to, "learned": learned, **content}


def newest_moment(rows: Path) -> datetime:
    """Return the moment of the last example of a training set."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    newest: datetime = pc.max(pq.read_table(rows, columns=[TIMESTAMP])[TIMESTAMP]).as_py()
    return newest.astimezone(UTC)


def _test_ids(rows: Path) -> Any:
    import pyarrow.parquet as pq

    from proml_kedro.models.columns import in_split

    return pq.read_table(rows, columns=[EXAMPLE_ID], filters=in_split(TEST))[EXAMPLE_ID].combine_chunks()


def _write_scores(folder: Path, scored: Sequence[ScoredRows], ids: Sequence[Any]) -> None:
    """Write ``folds.parquet``: the number of the fold, from 1, the example, its label and its scores."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from proml_kedro.models.columns import to_arrow

    tables = []
    for number, (rows, examples) in enumerate(zip(scored, ids, strict=True), 1):
        named = np.array(rows.classes, object)[rows.label.astype(np.int64)] if rows.classes else rows.label
        scores = as_columns(rows.candidate, rows.baseline, rows.classes)
        columns = {name: to_arrow(values) for name, values in {LABEL: named, **scores}.items()}
        tables.append(pa.table({"fold": np.full(len(named), number), EXAMPLE_ID: examples, **columns}))
    pq.write_table(pa.concat_tables(tables), folder / Folds.SCORES)


def _markdown(facts: Sequence[FoldFacts]) -> Iterator[str]:
    """Show the first metric of each fold, and all of them together."""
    metric = next(iter(facts[0].candidate))
    yield "\n## Rolling origin\n"
    yield f"{metric} of {len(facts) - 1} folds, each of a model that was trained on what lies before."
    yield "\n| fold | from | to | rows | learned from | model | baseline | difference | interval |"
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|"
    for number, one in enumerate(facts, 1):
        name = str(number) if number < len(facts) else "together"
        difference = one.differences.get(metric)
        apart = difference.difference if difference else None
        figures = [one.candidate[metric], (one.baseline or {}).get(metric), apart]
        interval = f"{_number(difference.low)} … {_number(difference.high)}" if difference else ""
        learned = "" if one.learned is None else f"{one.learned:,}"
        cells = [name, one.start[:16], one.to[:16], f"{one.rows:,}", learned, *map(_number, figures), interval]
        yield f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
