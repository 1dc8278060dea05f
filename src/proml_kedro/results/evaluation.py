"""``evaluation``: how good a model is on the test period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from proml_kedro.results.json_file import JsonFile, JsonMapping


@dataclass(frozen=True)
class RankingFacts:
    """What is known of the groups.

    Attributes:
        within: What makes rows a group.
        groups: How many there are.
        without_positive: Those of them without a positive row, which no figure counts.
        drawn_by: What makes groups a cluster; what makes rows a group where a group has rows in several clusters.
        gain: What a row adds to NDCG, by its label.
        relevant: Smallest label of a positive row; None for every one above 0.
    """

    within: str
    groups: int
    without_positive: int
    drawn_by: str
    gain: Literal["linear", "exponential"] = "linear"
    relevant: float | None = None


@dataclass(frozen=True)
class MetricDifference:
    """Model less baseline in one metric; None where nothing can be said.

    Attributes:
        difference: On all rows.
        low: Lower end of the interval.
        high: Upper end.
        standard_error: Of the difference.
        p_value: Two-sided, that there is no difference.
        p_adjusted: The same, as one of all that are told together (Holm); None in results of earlier versions.
        clusters: Number of clusters, by their weight.
        reason: Why there is no interval; empty where there is one.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    clusters: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class SliceFacts:
    """The metric that decides on a part of the test period.

    Attributes:
        column: What tells it from other parts: a key, or a column of ``evaluation.slices``.
        value: Which part it is; ``known`` and ``unknown`` to the training split for a key.
        rows: Number of rows.
        share: Of all rows.
        candidate: The figure of the model; None where it is not defined.
        baseline: That of the baseline; None when there is none.
        difference: Between them; None without a baseline.
    """

    column: str
    value: str
    rows: int
    share: float
    candidate: float | None = None
    baseline: float | None = None
    difference: MetricDifference | None = None


@dataclass(frozen=True)
class GateOutcome:
    """What came of a gate.

    Attributes:
        metric: Whose gate it is.
        passed: Whether the model passes it.
        text: Why not; ``passed`` when it does.
    """

    metric: str
    passed: bool
    text: str


ComparisonKind = Literal["better", "unclear", "unclear worse", "equal", "worse", "alone", "undefined"]


@dataclass(frozen=True)
class Comparison:
    """What the metrics come to.

    Attributes:
        kind: ``better`` or ``worse`` when the interval of the first metric's difference does not hold 0, ``unclear``
            or ``unclear worse`` when it does, ``equal`` when there is no difference, ``alone`` without a baseline,
            ``undefined`` when the metric is.
        text: The same in words.
        advice: What to do; empty when nothing is to be done.
    """

    kind: ComparisonKind
    text: str
    advice: str = ""

    @property
    def in_words(self) -> str:
        """Text and advice in one line."""
        return f"{self.text}. {self.advice[:1].upper()}{self.advice[1:]}".rstrip(". ") + "."

    @property
    def forbids_serving(self) -> bool:
        """Whether the baseline is to be preferred, by all that is known."""
        return self.kind in ("worse", "unclear worse")


@dataclass(frozen=True, kw_only=True)
class Metrics(JsonFile):
    """``metrics.json``; None for what is not defined.

    Attributes:
        rows: Rows of the test period.
        task: Type of the label.
        label_mean: Mean of the labels; None where they are classes.
        positive_rate: Share of positive labels; None for other tasks than binary.
        candidate: Each metric of the model.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
        cluster_by: What makes rows a cluster.
        clusters: How many of them there are.
        confidence: Of the intervals.
        ranking: The groups of rankings; None when no order is judged.
        candidate_name: The model.
        baseline_name: The baseline; None when there is none.
        verdict: What the metrics come to; None in results of earlier versions.
        class_shares: Share of rows of each class, where the label is one of several.
        gates: What came of each gate of ``evaluation.gates``.
        slices: The first metric on parts of the test period.
        latency_ms: Milliseconds that one row takes in process, in 99 of 100 cases; None where no gate asks for it.
    """

    FILE = "metrics.json"
    INDENT = 2

    rows: int
    task: str = "binary"
    label_mean: float | None = None
    positive_rate: float | None = None
    candidate: Mapping[str, float | None]
    baseline: Mapping[str, float | None] | None = None
    differences: Mapping[str, MetricDifference] = field(default_factory=dict)
    cluster_by: str = "row"
    clusters: int | None = None
    confidence: float = 0.95
    ranking: RankingFacts | None = None
    candidate_name: str | None = None
    baseline_name: str | None = None
    verdict: Comparison | None = None
    class_shares: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateOutcome, ...] = ()
    slices: tuple[SliceFacts, ...] = ()
    latency_ms: float | None = None

    @property
    def failed_gates(self) -> list[GateOutcome]:
        """The gates that the model does not pass."""
        return [one for one in self.gates if not one.passed]


@dataclass(frozen=True)
class Importance(JsonMapping):
    """``importance.json``, which is missing for a model that has none to tell.

    Attributes:
        shares: Share of each input in the model's gain.
    """

    FILE = "importance.json"
    INDENT = 2

    shares: Mapping[str, float]
