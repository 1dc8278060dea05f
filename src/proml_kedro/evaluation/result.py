"""What an evaluation finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from proml_kedro.results import RankingFacts
from proml_kedro.spec.problem import Task


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
    """The metrics of a model on the test period, and its difference to a baseline.

    Attributes:
        rows: Number of rows.
        task: Task of the label.
        label_mean: Mean of the labels; None where they are classes.
        positive_rate: Share of positive labels; None for other tasks than binary.
        candidate: Each metric of the model, ranking metrics included.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
        cluster_by: What the bootstrap draws as a whole.
        clusters: Number of clusters.
        resamples: Number of bootstrap samples.
        confidence: Share of resamples in the interval.
        ranking: The groups of rankings; None when no order is judged.
        class_shares: Share of rows of each class, where the label is one of several.
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
    resamples: int
    confidence: float
    ranking: RankingFacts | None = None
    class_shares: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, as ``metrics.json`` holds them; None for what is not defined."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
