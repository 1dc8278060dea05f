"""Whether one model is really better than another, in each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.evaluation.gates import judge_gates
from proml_kedro.evaluation.groups import Grades
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.evaluation.result import Difference, Evaluation, SliceResult
from proml_kedro.evaluation.rows import Grouping, ScoredRows, Slice
from proml_kedro.evaluation.significance import difference, holm
from proml_kedro.results import RankingFacts
from proml_kedro.spec.evaluation import ComparisonSpec, EvaluationSpec, Gain, RankingSpec

Ints = npt.NDArray[np.int64]

_LARGEST_EXPONENT = 31
"""Largest label for which 2^label is taken, as XGBoost has it."""


def evaluate(
    rows: ScoredRows,
    spec: EvaluationSpec,
    ranking: RankingSpec | None = None,
    seed: int = 0,
    latency_ms: float | None = None,
) -> Evaluation:
    """Measure a model on the test rows, and its difference to a baseline with how sure that is.

    Args:
        rows: Labels and scores.
        spec: Which metrics, how they are compared.
        ranking: Which ranking metrics, where the rows have a grouping.
        seed: Of the bootstrap, and of the order of equal scores.
        latency_ms: How long one row takes; None where it was not measured.
    """
    result = measure(rows, spec.metrics_for(rows.task, rows.ordered), spec.compare, ranking, seed)
    result = replace(result, latency_ms=latency_ms)
    return replace(result, gates=judge_gates(spec.gates, result))


def measure(
    rows: ScoredRows, names: Sequence[str], spec: ComparisonSpec, ranking: RankingSpec | None = None, seed: int = 0
) -> Evaluation:
    """Measure a model in metrics by name, which may be none, and in those of rankings; else as :func:`evaluate`."""
    clusters = rows.cluster_codes()
    comparison = _Comparison(spec, seed)
    baseline = Predictions(rows.label, rows.baseline.scores, clusters) if rows.baseline else None
    comparison.add(names, Predictions(rows.label, rows.candidate.scores, clusters), baseline)
    facts = None
    if ranking and rows.grouping:
        facts = _compare_orders(comparison, rows, rows.grouping, ranking)
    slices = [_slice(comparison, rows, one, names[0]) for one in rows.slices if names]
    differences, slices = _adjusted(comparison.differences, slices)
    label_mean = None if rows.classes else float(np.mean(rows.label))
    return Evaluation(
        rows=len(rows.label),
        task=rows.task,
        label_mean=label_mean,
        positive_rate=label_mean if rows.task == "binary" else None,
        candidate=comparison.candidate,
        baseline=comparison.baseline if rows.baseline else None,
        differences=differences,
        cluster_by=spec.cluster_by,
        clusters=int(clusters.max()) + 1,
        confidence=spec.confidence,
        ranking=facts,
        class_shares=rows.class_shares(),
        slices=tuple(slices),
    )


class _Comparison:
    """Collects the metrics of two models and their differences."""

    def __init__(self, spec: ComparisonSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.candidate: dict[str, float] = {}
        self.baseline: dict[str, float] = {}
        self.differences: dict[str, Difference] = {}

    def add(
        self, names: Sequence[str], candidate: Predictions | Rankings, baseline: Predictions | Rankings | None
    ) -> None:
        """Measure both models."""
        self.candidate |= candidate.measure(names)
        if baseline is None:
            return
        self.baseline |= baseline.measure(names)
        for name in names:
            draws = self.spec.resamples, self.seed
            self.differences[name] = difference(candidate, baseline, name, self.spec.confidence, draws)


def _compare_orders(
    comparison: _Comparison, rows: ScoredRows, grouping: Grouping, ranking: RankingSpec
) -> RankingFacts:
    """Measure the order within groups. A group belongs to its cluster, or is one itself when it lies in several.

    Raises:
        UserError: Labels are no grades.
    """
    _check_grades(rows.label, ranking.gain)
    grades = Grades(ranking.gain == "exponential", ranking.relevant)
    groups, clusters = grouping.groups, rows.cluster_codes()
    of_group = np.empty(int(groups.max()) + 1, np.int64)
    of_group[groups] = clusters
    is_inside = np.array_equal(of_group[groups], clusters)
    drawn = np.unique(of_group, return_inverse=True)[1] if is_inside else np.arange(len(of_group))
    candidate, baseline = (
        Rankings(rows.label, one.ranked_by, groups, comparison.seed, drawn, grades) if one else None
        for one in (rows.candidate, rows.baseline)
    )
    assert candidate is not None  # noqa: S101 - for the type checker
    comparison.add(ranking.metrics, candidate, baseline)
    return RankingFacts(
        within=grouping.within,
        groups=len(of_group),
        without_positive=int((candidate.positives == 0).sum()),
        drawn_by=comparison.spec.cluster_by if is_inside else grouping.within,
        gain=ranking.gain,
        relevant=ranking.relevant,
    )


def _check_grades(label: npt.NDArray[Any], gain: Gain) -> None:
    """Refuse labels that no gain is defined for."""
    if (least := float(np.min(label))) < 0:
        raise UserError.at("evaluation.ranking", f"a label is {least:g}; a grade must not be negative")
    if gain == "exponential" and (most := float(np.max(label))) > _LARGEST_EXPONENT:
        message = f"a label is {most:g}; 2^label is of use up to {_LARGEST_EXPONENT}: write linear"
        raise UserError.at("evaluation.ranking.gain", message)


def _slice(comparison: _Comparison, rows: ScoredRows, one: Slice, name: str) -> SliceResult:
    """Measure both models on a part of the rows."""
    count = int(one.rows.sum())
    share = count / len(one.rows)
    if count == 0:
        return SliceResult(one.column, one.value, 0, share, float("nan"))
    clusters = np.unique(rows.cluster_codes()[one.rows], return_inverse=True)[1]
    candidate, baseline = (
        Predictions(rows.label[one.rows], model.scores[one.rows], clusters) if model else None
        for model in (rows.candidate, rows.baseline)
    )
    assert candidate is not None  # noqa: S101 - for the type checker
    figure = candidate.measure([name])[name]
    if baseline is None:
        return SliceResult(one.column, one.value, count, share, figure)
    if count == len(one.rows):  # all that is to be said of it stands above
        return SliceResult(one.column, one.value, count, share, figure, baseline.measure([name])[name])
    draws = comparison.spec.resamples, comparison.seed
    found = difference(candidate, baseline, name, comparison.spec.confidence, draws)
    return SliceResult(one.column, one.value, count, share, figure, baseline.measure([name])[name], found)


def _adjusted(
    differences: Mapping[str, Difference], slices: Sequence[SliceResult]
) -> tuple[dict[str, Difference], list[SliceResult]]:
    """Tell p-values that hold for the whole table, slices included."""
    of_slices = [one.difference for one in slices if one.difference]
    adjusted = iter(holm([one.p_value for one in [*differences.values(), *of_slices]]))
    whole = {name: replace(one, p_adjusted=next(adjusted)) for name, one in differences.items()}
    parts = [
        replace(one, difference=replace(one.difference, p_adjusted=next(adjusted))) if one.difference else one
        for one in slices
    ]
    return whole, parts
