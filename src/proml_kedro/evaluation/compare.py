"""Whether one model is really better than another: a paired bootstrap over clusters of rows.

Rows of one day share their weather, rows of one user their taste. Drawn one by one they look like more evidence than
they are, so clusters are drawn as a whole (Field and Welsh 2007, "Bootstrapping clustered data"). Both models are
measured on every resample, so that what makes a day hard for both does not blur their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.metrics import Judged
from proml_kedro.evaluation.ranking import Ranked
from proml_kedro.spec.evaluation import ComparisonSpec, EvaluationSpec
from proml_kedro.spec.problem import Task

AnyArray = npt.NDArray[Any]


class Measured(Protocol):
    """A model that can be measured under many weightings of its rows, or groups of rows."""

    def measure(self, names: Sequence[str], weight: npt.NDArray[np.float64] | None = None) -> Mapping[str, float]:
        """Each metric by name."""


@dataclass(frozen=True)
class Rankings:
    """What the order of rows within groups is judged by.

    Attributes:
        within: What makes rows a group.
        metrics: What to compute.
        groups: The group of each row, numbered from 0 without gaps, shape (n,).
        candidate: Scores to order by, shape (n,). They may differ from those that are judged as predictions: what is
            only known once rows have been ordered, such as a position, is the same for all of them.
        baseline: Those of the baseline, or None.
    """

    within: str
    metrics: Sequence[str]
    groups: npt.NDArray[np.int64]
    candidate: AnyArray
    baseline: AnyArray | None = None


@dataclass(frozen=True)
class RankingFacts:
    """What is known of the groups.

    Attributes:
        within: What makes rows a group.
        groups: How many there are.
        without_positive: Those of them without a positive row, which no figure counts.
        drawn_by: What the bootstrap draws as a whole: clusters, or groups where these have rows in several clusters.
    """

    within: str
    groups: int
    without_positive: int
    drawn_by: str


@dataclass(frozen=True)
class Difference:
    """Candidate less baseline in one metric.

    Attributes:
        difference: On all rows.
        low: Lower end of the percentile interval.
        high: Upper end.
        standard_error: Standard deviation over resamples.
        p_value: Two-sided, that there is no difference: twice the share of resamples on the far side of zero.

    All but the difference are NaN when there is a single cluster.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p_value: float


@dataclass(frozen=True)
class Evaluation:
    """What is known of a model on the test period.

    Attributes:
        rows: How many rows.
        task: What sort of label they have.
        label_mean: Mean of the labels.
        positive_rate: Share of positive labels; None for other tasks than binary.
        candidate: Each metric of the model, of rankings too.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
        cluster_by: What the bootstrap draws as a whole.
        clusters: How many of them there are.
        resamples: How many were drawn.
        confidence: Share of resamples in the interval.
        ranking: The groups of rankings; None when no order is judged.
    """

    rows: int
    task: Task
    label_mean: float
    positive_rate: float | None
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None
    differences: Mapping[str, Difference]
    cluster_by: str
    clusters: int
    resamples: int
    confidence: float
    ranking: RankingFacts | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``metrics.json`` holds them; None for what is not defined."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def evaluate(
    label: AnyArray,
    candidate: AnyArray,
    baseline: AnyArray | None,
    clusters: AnyArray | None,
    spec: EvaluationSpec,
    seed: int = 0,
    *,
    task: Task = "binary",
    rankings: Rankings | None = None,
) -> Evaluation:
    """Measure a model on the test rows, and its difference to a baseline with how sure that is.

    Args:
        label: What happened, shape (n,).
        candidate: The model's scores, shape (n,).
        baseline: Those of the baseline, shape (n,), or None.
        clusters: The cluster of each row, shape (n,); each row for itself when None.
        spec: Which metrics, how many resamples.
        seed: Of the bootstrap, and of the order of equal scores.
        task: What sort of label it is.
        rankings: What to judge the order by; None for not at all.
    """
    _, codes = np.unique(np.arange(len(label)) if clusters is None else clusters.astype(str), return_inverse=True)
    comparison = _Comparison(spec.compare, seed)
    comparison.add(
        spec.metrics_for(task),
        Judged(label, candidate),
        None if baseline is None else Judged(label, baseline),
        codes,
    )
    return Evaluation(
        rows=len(label),
        task=task,
        label_mean=float(np.mean(label)),
        positive_rate=float(np.mean(label)) if task == "binary" else None,
        ranking=_rank(comparison, label, rankings, codes, seed) if rankings else None,
        candidate=comparison.candidate,
        baseline=None if baseline is None else comparison.baseline,
        differences=comparison.differences,
        cluster_by=spec.compare.cluster_by,
        clusters=int(codes.max()) + 1,
        resamples=spec.compare.resamples,
        confidence=spec.compare.confidence,
    )


def _rank(
    comparison: _Comparison, label: AnyArray, rankings: Rankings, clusters: npt.NDArray[np.int64], seed: int
) -> RankingFacts:
    """Measure rankings; a group is drawn with the cluster that it lies in."""
    ours = Ranked(label, rankings.candidate, rankings.groups, seed)
    theirs = None if rankings.baseline is None else Ranked(label, rankings.baseline, rankings.groups, seed)
    of_group = np.empty(len(ours.sizes), np.int64)
    of_group[rankings.groups] = clusters
    is_inside = np.array_equal(of_group[rankings.groups], clusters)
    comparison.add(rankings.metrics, ours, theirs, of_group if is_inside else np.arange(len(of_group)))
    return RankingFacts(
        within=rankings.within,
        groups=len(of_group),
        without_positive=int((ours.positives == 0).sum()),
        drawn_by=comparison.spec.cluster_by if is_inside else rankings.within,
    )


class _Comparison:
    """Collects metrics of two models and their differences.

    Args:
        spec: How many resamples.
        seed: Of the bootstrap.
    """

    def __init__(self, spec: ComparisonSpec, seed: int) -> None:
        self.spec = spec
        self._seed = seed
        self.candidate: dict[str, float] = {}
        self.baseline: dict[str, float] = {}
        self.differences: dict[str, Difference] = {}

    def add(
        self, names: Sequence[str], ours: Measured, theirs: Measured | None, clusters: npt.NDArray[np.int64]
    ) -> None:
        """Measure both models.

        Args:
            names: Which metrics.
            ours: The model.
            theirs: The baseline.
            clusters: The cluster of each row, or group, that is weighted.
        """
        self.candidate |= ours.measure(names)
        if theirs is not None:
            self.baseline |= theirs.measure(names)
            self.differences |= _differences(ours, theirs, clusters, names, self.spec, self._seed)


def _differences(
    ours: Measured,
    theirs: Measured,
    codes: npt.NDArray[np.int64],
    names: Sequence[str],
    spec: ComparisonSpec,
    seed: int,
) -> dict[str, Difference]:
    generator = np.random.default_rng(seed)
    clusters = int(codes.max()) + 1
    drawn: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(spec.resamples if clusters > 1 else 0):  # one cluster alone says nothing about another one
        times = np.bincount(generator.integers(0, clusters, clusters), minlength=clusters)
        weight = times[codes].astype(np.float64)
        a, b = ours.measure(names, weight), theirs.measure(names, weight)
        for name in names:
            drawn[name].append(a[name] - b[name])
    a, b = ours.measure(names), theirs.measure(names)
    return {name: _summarise(a[name] - b[name], np.array(drawn[name]), spec.confidence) for name in names}


def _summarise(difference: float, drawn: AnyArray, confidence: float) -> Difference:
    drawn = drawn[np.isfinite(drawn)]  # a resample can lack one class
    if len(drawn) < 2:
        return Difference(difference, *[float("nan")] * 4)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = min((drawn <= 0).mean(), (drawn >= 0).mean())
    p_value = min(1.0, 2 * max(beyond, 1 / (len(drawn) + 1)))  # B resamples cannot show less than 1 / (B + 1)
    return Difference(difference, float(low), float(high), float(drawn.std(ddof=1)), float(p_value))
