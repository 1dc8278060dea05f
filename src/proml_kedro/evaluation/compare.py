"""Whether one model is really better than another: a paired bootstrap over clusters of rows.

Rows of one day share their weather, rows of one user their taste. Drawn one by one they look like more evidence than
they are, so clusters are drawn as a whole (Field and Welsh 2007, "Bootstrapping clustered data"). Both models are
measured on every resample, so that what makes a day hard for both does not blur their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.metrics import Judged
from proml_kedro.spec.evaluation import ComparisonSpec, EvaluationSpec

AnyArray = npt.NDArray[Any]


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
        positive_rate: Share of positive labels.
        candidate: Each metric of the model.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
        cluster_by: What the bootstrap draws as a whole.
        clusters: How many of them there are.
        resamples: How many were drawn.
        confidence: Share of resamples in the interval.
    """

    rows: int
    positive_rate: float
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None
    differences: Mapping[str, Difference]
    cluster_by: str
    clusters: int
    resamples: int
    confidence: float

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
) -> Evaluation:
    """Measure a model on the test rows, and its difference to a baseline with how sure that is.

    Args:
        label: 0 or 1, shape (n,).
        candidate: The model's probabilities, shape (n,).
        baseline: Those of the baseline, shape (n,), or None.
        clusters: The cluster of each row, shape (n,); each row for itself when None.
        spec: Which metrics, how many resamples.
        seed: Of the bootstrap.
    """
    _, codes = np.unique(np.arange(len(label)) if clusters is None else clusters.astype(str), return_inverse=True)
    ours = Judged(label, candidate)
    measured = ours.measure(spec.metrics)
    theirs = Judged(label, baseline) if baseline is not None else None
    return Evaluation(
        rows=len(label),
        positive_rate=float(np.mean(label)),
        candidate=measured,
        baseline=theirs.measure(spec.metrics) if theirs else None,
        differences=_differences(ours, theirs, codes, spec.metrics, spec.compare, seed) if theirs else {},
        cluster_by=spec.compare.cluster_by,
        clusters=int(codes.max()) + 1,
        resamples=spec.compare.resamples,
        confidence=spec.compare.confidence,
    )


def _differences(
    ours: Judged, theirs: Judged, codes: npt.NDArray[np.int64], names: Sequence[str], spec: ComparisonSpec, seed: int
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
