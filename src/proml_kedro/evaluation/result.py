"""What an evaluation finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from proml_kedro.results import GateOutcome, RankingFacts
from proml_kedro.spec.problem import Task


@dataclass(frozen=True)
class Difference:
    """Candidate less baseline in one metric.

    Attributes:
        difference: On all rows.
        low: Lower end of the interval.
        high: Upper end.
        standard_error: Of the difference.
        p_value: Two-sided, that there is no difference.
        p_adjusted: The same, as one of all that are told together.
        clusters: Number of clusters, by their weight: as many of equal weight would say as much.
        reason: Why all but the difference is NaN; empty where it is not.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p_value: float
    p_adjusted: float = float("nan")
    clusters: float = float("nan")
    reason: str = ""

    @classmethod
    def unsure(cls, difference: float, clusters: float, reason: str) -> Self:
        """Make a difference of which no more can be said, and why."""
        nan = float("nan")
        return cls(difference, nan, nan, nan, nan, nan, clusters, reason)


@dataclass(frozen=True)
class SliceResult:
    """The metric that decides on a part of the test period.

    Attributes:
        column: What tells it from other parts.
        value: Which part it is.
        rows: Number of rows.
        share: Of all rows.
        candidate: The figure of the model; NaN where it is not defined.
        baseline: That of the baseline; None when there is none.
        difference: Between them; None without a baseline.
    """

    column: str
    value: str
    rows: int
    share: float
    candidate: float
    baseline: float | None = None
    difference: Difference | None = None


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model on the test period, and its difference to a baseline.

    Attributes:
        rows: Number of rows.
        task: Task of the label.
        label_mean: Mean of the labels; None where they are classes.
        positive_rate: Share of positive labels; None for other tasks than binary.
        candidate: Each metric of the model, ranking metrics included.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
        cluster_by: What makes rows a cluster.
        clusters: Number of clusters.
        confidence: Of the intervals.
        ranking: The groups of rankings; None when no order is judged.
        class_shares: Share of rows of each class, where the label is one of several.
        gates: What came of each gate.
        slices: The first metric on parts of the test period.
        latency_ms: Milliseconds that one row takes in process, in 99 of 100 cases; None where it was not measured.
    """

    rows: int
    task: Task
    label_mean: float | None
    positive_rate: float | None
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None
    differences: Mapping[str, Difference]
    cluster_by: str
    clusters: int
    confidence: float
    ranking: RankingFacts | None = None
    class_shares: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateOutcome, ...] = ()
    slices: tuple[SliceResult, ...] = ()
    latency_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, as ``metrics.json`` holds them; None for what is not defined."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
