"""``health``: how good a model is from period to period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from proml_kedro.results.drift import Verdict
from proml_kedro.results.json_file import JsonFile

HealthVerdict = Literal["as expected", "worse", "unknown"]


@dataclass(frozen=True)
class Figure:
    """A metric on some rows.

    Attributes:
        value: None where it is not defined.
        low: Lower end of the interval.
        high: Upper end.
        clusters: Number of clusters, by their weight.
        reason: Why there is no interval; empty where there is one.
        worse: Whether it is surely worse than what the evaluation of the model found.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    clusters: float | None = None
    reason: str = ""
    worse: bool = False


@dataclass(frozen=True)
class PeriodHealth:
    """What is known of one period.

    Attributes:
        begin: When it begins.
        requests: Rows that were asked for.
        failed: Those that got no score.
        mature: Scored rows that are old enough to be judged.
        labelled: Those of them whose label is known.
        label_mean: Mean of the labels; None without, and of classes.
        score_mean: Mean score of all scored rows; None without, and of classes.
        figures: Metrics on the labelled rows, by name; empty where the period is not judged.
        not_judged: Why it is not; empty where it is.
        estimated: What metrics will about be, judging by the scores alone; empty where labels tell.
        not_estimated: Why nothing is estimated; empty where it is, and where labels tell.
        inputs: The verdict on inputs and scores beside the bundle's reference.
        inputs_words: The same in words.
        latency: Seconds from a request to its answer that half, 95 % and 99 % of the requests took at most (`p50`,
            `p95`, `p99`); empty where the log does not hold them.
    """

    begin: datetime
    requests: int
    failed: int
    mature: int
    labelled: int
    label_mean: float | None = None
    score_mean: float | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    not_judged: str = ""
    estimated: Mapping[str, float] = field(default_factory=dict)
    not_estimated: str = ""
    inputs: Verdict = "insufficient"
    inputs_words: str = ""
    latency: Mapping[str, float] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """Rows that got a score."""
        return self.requests - self.failed

    @property
    def coverage(self) -> float | None:
        """Share of the rows that are old enough whose label is known; None without such rows."""
        return self.labelled / self.mature if self.mature else None


@dataclass(frozen=True)
class SliceHealth:
    """The first metric on the labelled rows of all judged periods that have one value.

    Attributes:
        column: What tells them from other rows.
        value: Which value.
        rows: Number of labelled rows.
        figure: The metric.
    """

    column: str
    value: str
    rows: int
    figure: Figure


@dataclass(frozen=True)
class HealthReport(JsonFile):
    """How good a model is from period to period: ``health.json``.

    Attributes:
        model: ``name:version``.
        at: The moment of the report: what became known later does not count.
        every_seconds: Length of a period.
        task: Task of the label.
        metrics: Names of the metrics, the first one decides.
        expected: What the evaluation of the model found, by metric.
        cluster_by: What makes rows a cluster.
        confidence: Of intervals.
        periods: From the first one on, without a gap.
        slices: The first metric by values of columns.
        missing: Share of scored rows without a value, by feature and period; None for a period without rows.
        missing_before: The same in the bundle's reference.
        notices: What did not count, and why.
    """

    FILE = "health.json"
    INDENT = 2

    model: str
    at: datetime
    every_seconds: float
    task: str
    metrics: tuple[str, ...]
    expected: Mapping[str, float]
    cluster_by: str
    confidence: float
    periods: tuple[PeriodHealth, ...]
    slices: tuple[SliceHealth, ...] = ()
    missing: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    missing_before: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[PeriodHealth, ...]:
        """The periods with enough labels."""
        return tuple(one for one in self.periods if one.figures)

    @property
    def verdict(self) -> HealthVerdict:
        """``worse`` when the first metric is in any period, ``unknown`` when no period can be compared."""
        first = [one.figures[self.metrics[0]] for one in self.judged]
        if any(one.worse for one in first):
            return "worse"
        is_known = self.metrics[0] in self.expected and any(one.low is not None for one in first)
        return "as expected" if is_known else "unknown"

    @property
    def words(self) -> str:
        """The verdict in words."""
        judged, name = self.judged, self.metrics[0]
        of = f"{len(judged)} of {len(self.periods)} periods with enough labels"
        if not judged:
            return f"cannot be told: {of}"
        if self.verdict == "unknown":
            reason = next((one.figures[name].reason for one in judged if one.figures[name].reason), "")
            why = reason or f"the bundle has no {name} to compare with"
            return f"cannot be told, in {of}: {why}"
        if self.verdict == "worse":
            worse = [one for one in judged if one.figures[name].worse]
            return f"{name} is worse than expected in {len(worse)} of {of}, last from {worse[-1].begin:%Y-%m-%d %H:%M}"
        return f"{name} is as expected in {of}"
