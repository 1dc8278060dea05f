"""Sections of the report: each a sentence, a drawing, and the rows that are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proml_kedro.evaluation.contributions import MOST_ROWS, contributions_of
from proml_kedro.evaluation.curves import Curve, calibration_of, curve_of
from proml_kedro.evaluation.metric import meaning
from proml_kedro.evaluation.permutation import MOST_INPUTS, losses_of, rows_for
from proml_kedro.evaluation.rates import Array, Ints, by_mass, means_of
from proml_kedro.evaluation.result import Evaluation
from proml_kedro.evaluation.rows import ScoredRows
from proml_kedro.evaluation.svg import Line, bar_chart, line_chart
from proml_kedro.models.component import Array as AnyArray
from proml_kedro.models.component import Columns, Explanation
from proml_kedro.spec.evaluation import CostsSpec
from proml_kedro.spec.inputs import is_entity
from proml_kedro.spec.problem import Task

Cell = str | int | float | None

_BUCKETS, _MOST_CATEGORIES, _MOST_FEATURES, _MOST_CONTRIBUTIONS = 10, 12, 12, 20


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: What it is about.
        sentence: What it says.
        heading: Of the columns.
        rows: A cell for each column.
        drawing: SVG; empty for a table alone.
    """

    title: str
    sentence: str
    heading: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    drawing: str = ""


@dataclass(frozen=True)
class Sample:
    """Rows of the test period with their inputs.

    Attributes:
        columns: The inputs, n rows each.
        at: Their places among the rows of the test period, shape (n,).
        score: The model.
        chosen: Names of the inputs, those that are worth most by the model's own account first.
        explain: Divides the margins of rows among what the last component reads; gives None when it has no way to.
    """

    columns: Columns
    at: Ints
    score: Callable[[Columns], Array]
    chosen: Sequence[str]
    explain: Callable[[Columns], Explanation | None] = lambda columns: None


def sections_of(
    result: Evaluation, rows: ScoredRows, sample: Sample, costs: CostsSpec | None, seed: int
) -> Iterator[Section]:
    """Make the sections.

    Args:
        result: The metrics.
        rows: Labels and scores of the test period.
        sample: Some of the rows with their inputs.
        costs: What mistakes cost.
        seed: Of shuffles.
    """
    clusters = rows.cluster_codes()
    if rows.task == "binary":
        curve = curve_of(rows.label, rows.candidate.scores, clusters, costs, result.confidence)
        yield from _of_curve(curve, result, costs is not None)
    if not rows.classes:
        yield calibration(rows, clusters, result.confidence)
    importance = _importance(result, rows, sample, seed)
    yield importance
    yield from _contributions(sample, clusters, result.confidence)
    if not rows.classes:
        names = [str(row[0]) for row in importance.rows][:_MOST_FEATURES]
        yield from _by_feature(rows, sample, names, clusters, result.confidence)
    if result.slices:
        yield _slices(result)


def _of_curve(curve: Curve, result: Evaluation, costly: bool) -> Iterator[Section]:
    recall, fallout, precision = curve.recall, curve.fallout, curve.precision
    at = int(np.argmin(np.abs(curve.rows / result.rows - 0.1)))
    yield Section(
        "ROC",
        f"The threshold that takes {curve.rows[at] / result.rows:.0%} of rows takes {recall.mean[at]:.0%} of the "
        f"positive and {fallout.mean[at]:.0%} of the negative ones.",
        ("threshold", "rows", "share of negatives", "share of positives", "low", "high"),
        _table(curve.threshold, curve.rows, fallout.mean, recall.mean, recall.low, recall.high),
        line_chart(
            Line(fallout.mean, recall.mean, recall.low, recall.high, diagonal=True), "false positives", "recall"
        ),
    )
    yield Section(
        "Precision and recall",
        f"Of the {curve.rows[0]:,} rows with the highest scores {precision.mean[0]:.0%} are positive, "
        f"{curve.lift[0]:.1f} times as many as of all.",
        ("threshold", "rows", "recall", "precision", "low", "high"),
        _table(curve.threshold, curve.rows, recall.mean, precision.mean, precision.low, precision.high),
        line_chart(Line(recall.mean, precision.mean, precision.low, precision.high), "recall", "precision"),
    )
    share = curve.rows / result.rows
    sentence = "A threshold takes the rows from that score on; lift is how many times as often they are positive."
    heading: tuple[str, ...] = ("threshold", "rows", "share of rows", "precision", "recall", "lift")
    columns: list[Array | Ints] = [curve.threshold, curve.rows, share, precision.mean, recall.mean, curve.lift]
    low, high = precision.low / curve.positive_rate, precision.high / curve.positive_rate
    if costly:
        best = int(np.argmin(curve.cost.mean))
        sentence += (
            f" The least cost, {curve.cost.mean[best]:.4g} a row, is at {curve.threshold[best]:.4g}; it was chosen on "
            "these rows, so expect a little more."
        )
        heading, columns = (
            (*heading, "cost", "low", "high"),
            [*columns, curve.cost.mean, curve.cost.low, curve.cost.high],
        )
    yield Section(
        "Thresholds",
        sentence,
        heading,
        _table(*columns),
        line_chart(Line(share, curve.lift, low, high), "share of rows", "lift"),
    )


def calibration(rows: ScoredRows, clusters: Ints, confidence: float) -> Section:
    """Show what happened against what was said; of truth values, numbers and counts.

    Args:
        rows: Labels and scores.
        clusters: The cluster of each row, from 0, shape (n,).
        confidence: Of the intervals.
    """
    found = calibration_of(rows.label, rows.candidate.scores, clusters, confidence)
    seen = found.seen
    outside = int(((found.said < seen.low) | (found.said > seen.high)).sum())
    line = Line(found.said, seen.mean, seen.low, seen.high, diagonal=rows.task == "binary")
    return Section(
        "Calibration",
        f"In {outside} of {len(found.said)} bins of about equally many rows, equal scores in one, what was said lies "
        f"outside of the {confidence:.0%} interval of what happened.",
        ("said", "rows", "seen", "low", "high"),
        _table(found.said, seen.rows, seen.mean, seen.low, seen.high),
        line_chart(line, "said", "seen"),
    )


def _importance(result: Evaluation, rows: ScoredRows, sample: Sample, seed: int) -> Section:
    metric = next(iter(result.candidate))
    shuffled = sample.chosen[:MOST_INPUTS]
    some = np.unique(np.linspace(0, len(sample.at) - 1, min(rows_for(len(shuffled)), len(sample.at))).astype(np.int64))
    columns = {name: values[some] for name, values in sample.columns.items()}
    label = rows.label[sample.at[some]]
    found = losses_of(columns, shuffled, (label, sample.score, metric), seed, result.confidence)
    names = list(found)
    mean, low, high = (np.array([getattr(one, key) for one in found.values()]) for key in ("mean", "low", "high"))
    sure = [name for name, one in found.items() if one.low > 0]
    left = f", and {len(sample.chosen) - len(names)} inputs were not tried" if len(sample.chosen) > len(names) else ""
    return Section(
        "Permutation importance",
        f"Shuffling one input at a time makes {metric} ({meaning(metric)}) worse beyond chance for {len(sure)} of "
        f"{len(names)} inputs{f', for {sure[0]} the most' if sure else ''}{left}; inputs that say the same share what "
        "they are worth.",
        ("input", "rows", "loss", "low", "high"),
        [(name, len(some), *figures) for name, *figures in zip(names, *map(_plain, (mean, low, high)), strict=True)],
        bar_chart(names, mean, low, high, f"loss of {metric}"),
    )


def _contributions(sample: Sample, clusters: Ints, confidence: float) -> Iterator[Section]:
    """What inputs add to margins, where the model can tell."""
    some = np.unique(np.linspace(0, len(sample.at) - 1, min(MOST_ROWS, len(sample.at))).astype(np.int64))
    columns = {name: values[some] for name, values in sample.columns.items()}
    explained = sample.explain(columns)
    if explained is None or not explained.contributions:
        return
    here = np.unique(clusters[sample.at[some]], return_inverse=True)[1]
    found = contributions_of(explained, columns, here, confidence)
    names = list(found)[:_MOST_CONTRIBUTIONS]
    mean, low, high = (np.array([getattr(found[name], key) for name in names]) for key in ("mean", "low", "high"))
    first, left = names[0], len(found) - len(names)
    way = found[first].in_words
    yield Section(
        "Contributions",
        f"What an input adds to the margin of a row, more or less than the average; by size {mean[0]:.3g} for {first}"
        f"{f', of which {way}' if way else ''}{f'; {left} inputs add less than these' if left else ''}. Contributions "
        "say what the model does, not what causes what.",
        ("input", "rows", "mean size", "low", "high", "larger values"),
        [
            (name, len(some), *figures, found[name].in_words.removeprefix("larger values "))
            for name, *figures in zip(names, *map(_plain, (mean, low, high)), strict=True)
        ],
        bar_chart(names, mean, low, high, "mean size of what is added to the margin"),
    )


def _by_feature(
    rows: ScoredRows, sample: Sample, names: Sequence[str], clusters: Ints, confidence: float
) -> Iterator[Section]:
    """The mean label of each bucket of the inputs that matter most."""
    label, here = rows.label[sample.at], np.unique(clusters[sample.at], return_inverse=True)[1]
    for name in names:
        values = sample.columns[name]
        if values.ndim == 1 and not is_entity(name):  # keys of single entities are nobody's business
            yield by_feature(name, values, label, here, (rows.task, confidence))


def by_feature(name: str, values: AnyArray, label: Array, clusters: Ints, how: tuple[Task, float]) -> Section:
    """Show the mean label of each bucket of a number, or of each category.

    Args:
        name: Of the input.
        values: Numbers with NaN for missing, or objects with None for missing; shape (n,).
        label: Shape (n,).
        clusters: The cluster of each row, from 0, shape (n,).
        how: Task of the label, and confidence of the intervals.
    """
    task, confidence = how
    what = "share of positive rows" if task == "binary" else "mean label"
    part, titles = _categories(values) if values.dtype == object else _buckets(values)
    found = means_of(label, part, len(titles), clusters, confidence)
    told = np.isfinite(found.mean)
    most, least = (
        titles[int(at(np.where(told, found.mean, other)))] for at, other in ((np.argmax, -np.inf), (np.argmin, np.inf))
    )
    return Section(
        f"{what} by {name}",
        f"The {what} is highest where {name} is {most}, and lowest where it is {least}.",
        (name, "rows", what, "low", "high"),
        [
            (title, *row)
            for title, row in zip(titles, _table(found.rows, found.mean, found.low, found.high), strict=True)
        ],
        bar_chart(titles, found.mean, found.low, found.high, what),
    )


def _buckets(values: Array) -> tuple[Ints, list[str]]:
    part = by_mass(values.astype(np.float64), _BUCKETS)
    count = int(part.max()) + 1
    ends = [(float(values[part == one].min()), float(values[part == one].max())) for one in range(count)]
    titles = [f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}" for low, high in ends]
    return (np.where(part < 0, count, part), [*titles, "missing"]) if (part < 0).any() else (part, titles)


def _categories(values: Array) -> tuple[Ints, list[str]]:
    texts = np.array(["\0" if one is None else one for one in values.tolist()], object)
    names, counts = np.unique(texts.astype(str), return_counts=True)
    known = [
        (name, count) for name, count in zip(names.tolist(), counts.tolist(), strict=True) if name not in ("", "\0")
    ]
    frequent = sorted(name for name, _ in sorted(known, key=lambda one: (-one[1], one[0]))[:_MOST_CATEGORIES])
    code = {name: number for number, name in enumerate(frequent)}
    other, missing = len(frequent), len(frequent) + 1
    part = np.array([missing if one is None else code.get(one, other) for one in values.tolist()], np.int64)
    titles = [*frequent, "other values", "missing"]
    there = np.unique(part)
    return np.searchsorted(there, part), [titles[one] for one in there.tolist()]


def _slices(result: Evaluation) -> Section:
    name = next(iter(result.candidate))
    rows: list[tuple[Cell, ...]] = []
    for one in result.slices:
        found = one.difference
        figures = (found.difference, found.low, found.high, found.p_adjusted) if found else (None,) * 4
        rows.append((one.column, one.value, one.rows, one.candidate, one.baseline, *figures))
    return Section(
        f"{name} on parts of the test period",
        "P-values are of all metrics and slices together (Holm): of equal models one table in 20 has one below .05.",
        ("column", "value", "rows", "model", "baseline", "difference", "low", "high", "p of all"),
        rows,
    )


def _table(*columns: Array | Ints) -> list[tuple[Cell, ...]]:
    return list(zip(*map(_plain, columns), strict=True))


def _plain(values: Array | Ints) -> list[Cell]:
    return [None if one != one else one for one in values.tolist()]


def as_json(sections: Sequence[Section]) -> list[Mapping[str, object]]:
    """Convert sections to plain values, without their drawings; None for what is not defined."""
    return [
        {
            "title": one.title,
            "sentence": one.sentence,
            "rows": [dict(zip(one.heading, map(_or_none, row), strict=True)) for row in one.rows],
        }
        for one in sections
    ]


def _or_none(value: Cell) -> Cell:
    return None if isinstance(value, float) and value != value else value
