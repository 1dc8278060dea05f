"""Metrics of labelled predictions, with how sure they are and whether they are worse than expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.groups import Grades
from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.evaluation.result import Difference
from proml_kedro.evaluation.significance import alone, holm
from proml_kedro.results.health import Figure
from proml_kedro.spec.evaluation import ComparisonSpec, RankingSpec

Array = npt.NDArray[Any]
_SEED = 0


@dataclass(frozen=True)
class Measure:
    """What is measured, and how.

    Attributes:
        metrics: Names of metrics.
        ranking: Metrics of the order within groups; None for none.
        comparison: Confidence and number of bootstrap samples.
    """

    metrics: tuple[str, ...]
    ranking: RankingSpec | None
    comparison: ComparisonSpec

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all metrics, those of rankings last."""
        return (*self.metrics, *(self.ranking.metrics if self.ranking else ()))

    def run(self, label: Array, score: Array, cluster: Array, group: Array) -> Mapping[str, Difference]:
        """Measure rows, by metric.

        Args:
            label: Shape (n,), n above 0.
            score: Shape (n,), or (n, classes).
            cluster: Any numbers, shape (n,).
            group: The rows within which an order is judged; any numbers, shape (n,).
        """
        clusters = np.unique(cluster, return_inverse=True)[1]
        draws = self.comparison.resamples, _SEED
        predictions = Predictions(label, score, clusters)
        found = {name: alone(predictions, name, self.comparison.confidence, draws) for name in self.metrics}
        if self.ranking:
            rankings = self._rankings(label, score, clusters, np.unique(group, return_inverse=True)[1])
            for name in self.ranking.metrics:
                found[name] = alone(rankings, name, self.comparison.confidence, draws)
        return found

    def _rankings(self, label: Array, score: Array, clusters: Array, groups: Array) -> Rankings:
        """Take groups to the clusters that they lie in; to one each where some lie in several."""
        assert self.ranking is not None  # noqa: S101 - for the type checker
        of_group = np.empty(int(groups.max()) + 1, np.int64)
        of_group[groups] = clusters
        is_inside = np.array_equal(of_group[groups], clusters)
        drawn = np.unique(of_group, return_inverse=True)[1] if is_inside else np.arange(len(of_group))
        grades = Grades(self.ranking.gain == "exponential", self.ranking.relevant)
        return Rankings(label, score, groups, _SEED, drawn, grades)


def figure_of(found: Difference) -> Figure:
    """Write a measurement down; None for what is not defined."""
    return Figure(
        _defined(found.difference), _defined(found.low), _defined(found.high), _defined(found.clusters), found.reason
    )


def figures_of(
    measured: Sequence[tuple[int, Mapping[str, Difference]]],
    expected: Mapping[str, float],
    rows_before: int,
    confidence: float,
) -> list[dict[str, Figure]]:
    """Write measurements of periods down, and mark those that are worse than expected.

    A figure is compared with the evaluation's by Student's t, one-sided; the evaluation's own error is taken for as
    large as the period's would be of as many rows. Of one metric any mark is wrong in no more than 1 less the
    confidence of reports (Holm).

    Args:
        measured: Number of rows and measurements by metric, of each period.
        expected: The evaluation's figures, by metric.
        rows_before: Rows of the evaluation.
        confidence: Of intervals.
    """
    found = [{name: figure_of(one) for name, one in by_name.items()} for _, by_name in measured]
    for name, before in expected.items():
        sign = 1.0 if higher_is_better(name) else -1.0
        chances = [
            _chance(by_name[name], sign * (by_name[name].difference - before), math.sqrt(1 + rows / rows_before))
            if name in by_name
            else math.nan
            for rows, by_name in measured
        ]
        for figures, chance in zip(found, holm(chances), strict=True):
            if chance < 1 - confidence:
                figures[name] = replace(figures[name], worse=True)
    return found


def _chance(one: Difference, lift: float, wider: float) -> float:
    """How likely a figure is to be as far below what is expected by chance; NaN where that cannot be told."""
    from scipy.special import stdtr

    if not math.isfinite(one.standard_error) or not math.isfinite(lift):
        return math.nan
    if one.standard_error == 0:
        return 0.0 if lift < 0 else 1.0
    return float(stdtr(one.clusters - 1, lift / (one.standard_error * wider)))


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
