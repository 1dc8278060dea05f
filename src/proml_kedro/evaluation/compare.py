"""Whether one model is really better than another: a paired bootstrap over clusters of rows.

Rows of one day share their weather, rows of one user their taste. Drawn one by one they look like more evidence than
they are, so clusters are drawn as a whole (Field and Welsh 2007, "Bootstrapping clustered data"). Both models are
measured on every resample, so that what makes a day hard for both does not blur their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.evaluation.result import Difference, Evaluation
from proml_kedro.evaluation.rows import Grouping, ScoredRows
from proml_kedro.results import RankingFacts
from proml_kedro.spec.evaluation import ComparisonSpec, EvaluationSpec, RankingSpec

AnyArray = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class Measurable(Protocol):
    """A model that can be measured under many weightings of its rows, or groups of rows."""

    def measure(self, names: Sequence[str], weight: npt.NDArray[np.float64] | None = None) -> Mapping[str, float]:
        """Compute each metric, by name."""


@dataclass(frozen=True)
class ModelPair:
    """A model and its baseline, both measurable on the same rows or groups.

    Attributes:
        candidate: The model.
        baseline: The baseline; None for none.
        clusters: The cluster of each row or group, numbered from 0 without gaps.
    """

    candidate: Measurable
    baseline: Measurable | None
    clusters: Ints


def evaluate(rows: ScoredRows, spec: EvaluationSpec, ranking: RankingSpec | None = None, seed: int = 0) -> Evaluation:
    """Measure a model on the test rows, and its difference to a baseline with how sure that is.

    Args:
        rows: Labels and scores.
        spec: Which metrics, how many resamples.
        ranking: Which ranking metrics, where the rows have a grouping.
        seed: Of the bootstrap, and of the order of equal scores.
    """
    clusters = rows.cluster_codes()
    comparison = _Comparison(spec.compare, seed)
    comparison.add(spec.metrics_for(rows.task, rows.ordered), _predictions(rows, clusters))
    facts = None
    if ranking and rows.grouping:
        facts = _compare_orders(comparison, rows, rows.grouping, ranking.metrics)
    label_mean = None if rows.classes else float(np.mean(rows.label))
    return Evaluation(
        rows=len(rows.label),
        task=rows.task,
        label_mean=label_mean,
        positive_rate=label_mean if rows.task == "binary" else None,
        candidate=comparison.candidate,
        baseline=comparison.baseline if rows.baseline else None,
        differences=comparison.differences,
        cluster_by=spec.compare.cluster_by,
        clusters=int(clusters.max()) + 1,
        resamples=spec.compare.resamples,
        confidence=spec.compare.confidence,
        ranking=facts,
        class_shares=rows.class_shares(),
    )


class _Comparison:
    """Collects the metrics of two models and their differences."""

    def __init__(self, spec: ComparisonSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.candidate: dict[str, float] = {}
        self.baseline: dict[str, float] = {}
        self.differences: dict[str, Difference] = {}

    def add(self, names: Sequence[str], models: ModelPair) -> None:
        """Measure both models."""
        self.candidate |= models.candidate.measure(names)
        if models.baseline is None:
            return
        self.baseline |= models.baseline.measure(names)
        resampled = _resampled_differences(models, names, self.spec.resamples, self.seed)
        for name in names:
            difference = self.candidate[name] - self.baseline[name]
            self.differences[name] = _summarise(difference, resampled[name], self.spec.confidence)


def _predictions(rows: ScoredRows, clusters: Ints) -> ModelPair:
    baseline = Predictions(rows.label, rows.baseline.scores) if rows.baseline else None
    return ModelPair(Predictions(rows.label, rows.candidate.scores), baseline, clusters)


def _compare_orders(
    comparison: _Comparison, rows: ScoredRows, grouping: Grouping, names: Sequence[str]
) -> RankingFacts:
    """Measure the order within groups. A group is drawn with its cluster, or by itself when it lies in several."""
    candidate = Rankings(rows.label, rows.candidate.ranked_by, grouping.groups, comparison.seed)
    baseline = None
    if rows.baseline:
        baseline = Rankings(rows.label, rows.baseline.ranked_by, grouping.groups, comparison.seed)
    clusters = rows.cluster_codes()
    of_group = np.empty(len(candidate.sizes), np.int64)
    of_group[grouping.groups] = clusters
    is_inside = np.array_equal(of_group[grouping.groups], clusters)
    drawn = of_group if is_inside else np.arange(len(of_group))
    comparison.add(names, ModelPair(candidate, baseline, drawn))
    return RankingFacts(
        within=grouping.within,
        groups=len(of_group),
        without_positive=int((candidate.positives == 0).sum()),
        drawn_by=comparison.spec.cluster_by if is_inside else grouping.within,
    )


def _resampled_differences(models: ModelPair, names: Sequence[str], resamples: int, seed: int) -> dict[str, AnyArray]:
    """Compute the difference in each metric on every resample; none where there is a single cluster."""
    generator = np.random.default_rng(seed)
    clusters = int(models.clusters.max()) + 1
    differences: dict[str, list[float]] = {name: [] for name in names}
    if models.baseline is None or clusters < 2:  # one cluster alone says nothing about another one
        return {name: np.zeros(0) for name in names}
    for _ in range(resamples):
        times = np.bincount(generator.integers(0, clusters, clusters), minlength=clusters)
        weight = times[models.clusters].astype(np.float64)
        candidate, baseline = models.candidate.measure(names, weight), models.baseline.measure(names, weight)
        for name in names:
            differences[name].append(candidate[name] - baseline[name])
    return {name: np.array(values) for name, values in differences.items()}


def _summarise(difference: float, resampled: AnyArray, confidence: float) -> Difference:
    resampled = resampled[np.isfinite(resampled)]  # a resample can lack one class
    if len(resampled) < 2:
        return Difference(difference, *[float("nan")] * 4)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = min((resampled <= 0).mean(), (resampled >= 0).mean())
    p_value = min(1.0, 2 * max(beyond, 1 / (len(resampled) + 1)))  # B resamples cannot show less than 1 / (B + 1)
    return Difference(difference, float(low), float(high), float(resampled.std(ddof=1)), float(p_value))
