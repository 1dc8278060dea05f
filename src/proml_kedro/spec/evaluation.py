"""``conf/evaluation/*.yaml``: by which figures, and against what, a model is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.extensions import NameIn, metrics, ranking_metrics
from proml_kedro.spec.base import Spec
from proml_kedro.spec.model import ModelSpec
from proml_kedro.spec.problem import ProblemSpec, Task
from proml_kedro.spec.training_set import DAY, GROUP, cluster_columns


def _check_level(text: str) -> str:
    name, at, level = text.partition("@")
    if metrics.get(name).takes_level != bool(at) or (at and not re.fullmatch(r"0?\.\d{1,6}", level)):
        instead = f"write {name}@0.9 for the quantile 0.9" if metrics.get(name).takes_level else f"write {name}"
        raise ValueError(f"'{text}' is no metric; {instead}")
    return text


MetricName = Annotated[str, NameIn(metrics), AfterValidator(_check_level)]
"""``rmse``, ``pinball@0.9`` and so on, or one of an installed package."""


def metric_kind(name: str) -> Any:
    """Return the class of a metric, of whatever level."""
    return metrics.get(name.partition("@")[0])


def _check_ranking_metric(text: str) -> str:
    name, at, k = text.partition("@")
    has_cut = name in ranking_metrics.names() and ranking_metrics.get(name).has_cut
    if name not in ranking_metrics.names() or (at and not has_cut):
        raise ValueError(unknown("ranking metric", text, map(_as_written, ranking_metrics.names())))
    if has_cut and not re.fullmatch(r"[1-9]\d{0,3}", k):
        raise ValueError(f"'{text}' does not say how many rows of a group to look at; write {name}@10")
    return text


def _as_written(name: str) -> str:
    return f"{name}@10" if ranking_metrics.get(name).has_cut else name


RankingMetric = Annotated[str, AfterValidator(_check_ranking_metric)]
"""``ndcg@K``, ``precision@K``, ``recall@K``, ``map@K``, ``mrr``, ``group_auc``, or one of an installed package."""


def metrics_of(task: Task) -> list[str]:
    """Name the metrics that fit a task, in their order."""
    kinds = [(name, metrics.get(name)) for name in metrics.names()]
    return [name for name, kind in sorted(kinds, key=lambda one: one[1].order) if task in kind.tasks]


Gain = Literal["linear", "exponential"]


class RankingSpec(Spec):
    """How good the order is in which the model puts rows that are alternatives to each other.

    Each figure is computed within every group, and averaged over the groups that have a positive row. A label that is a
    number or a count is a grade: it must not be negative, and `ndcg` tells higher ones from lower ones.

    Attributes:
        within: What makes rows alternatives: `group` (the problem's `examples.group`), `day`, or an entity.
        metrics: What to compute: `ndcg@K`, `precision@K`, `recall@K`, `map@K` of the first K rows, `mrr` (one over the
            place of the first positive row), `group_auc` (the AUC of each group).
        gain: What a row adds to `ndcg`: its label (`linear`), or 2^label - 1 (`exponential`).
        relevant: Smallest label of a positive row, for the other metrics; every label above 0 when left out.
    """

    within: str = GROUP
    metrics: list[RankingMetric] = ["ndcg@10", "mrr", "precision@1"]
    gain: Gain = "linear"
    relevant: Annotated[float, Field(gt=0)] | None = None


class ComparisonSpec(Spec):
    """How sure a difference is: intervals and p-values by a jackknife over clusters, with Student's t.

    Attributes:
        cluster_by: What makes rows a cluster: ``day`` (of the split's time zone), ``group``, an entity, or ``row``.
            Rows of one day resemble each other; one by one they make a difference look surer than it is. Where examples
            have no moment, ``day`` takes rows. Nothing is claimed from fewer than five clusters.
        resamples: Number of bootstrap samples, for a metric that does not tell itself without a cluster, such as
            ``average_precision``, where there are more than 200 clusters.
        confidence: Of the intervals; 1 less it is the level of tests.
    """

    cluster_by: str = DAY
    resamples: Annotated[int, Field(ge=20, le=100_000)] = 200
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


SLICES: Final = "slices"
"""The gate of the first metric in every slice."""
LATENCY: Final = "latency"
"""The gate of the time that one row takes."""


class MetricGateSpec(Spec):
    """What a model has to reach in a metric; what cannot be told, for example from too few clusters, is not reached.

    A lift is the difference from the baseline, above 0 where the model is better, whichever way is up for the metric.

    Attributes:
        min: Smallest figure.
        max: Largest figure.
        min_lift: Smallest lift on the test period.
        p: Largest p-value; the model has to be the better one.
        margin: By how much the model may be worse: the whole interval of the lift has to lie above `-margin`.
        against: What a lift is the difference from: the `baseline`, or the `champion`. Where there is no champion yet,
            gates against it are passed.
    """

    min: float | None = None
    max: float | None = None
    min_lift: float | None = None
    p: Annotated[float, Field(gt=0, lt=1)] | None = None
    margin: Annotated[float, Field(gt=0)] | None = None
    against: Literal["baseline", "champion"] = "baseline"

    @model_validator(mode="after")
    def _sets_a_limit(self) -> Self:
        limits = self.model_dump(exclude_none=True, exclude={"against"})
        if not limits:
            names = [name for name in type(self).model_fields if name != "against"]
            raise ValueError(f"sets no limit; write {', '.join(names)}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no figure is at least {self.min:g} and at most {self.max:g}")
        return self

    @property
    def needs_baseline(self) -> list[str]:
        """The limits that are of a difference."""
        return [name for name in ("min_lift", "p", "margin") if getattr(self, name) is not None]


class CostsSpec(Spec):
    """What mistakes cost when rows from a score on are taken for positive; of any unit.

    Attributes:
        false_positive: A row that is taken and is not positive.
        false_negative: A positive row that is not taken.
    """

    false_positive: Annotated[float, Field(ge=0)]
    false_negative: Annotated[float, Field(ge=0)]


class EvaluationSpec(Spec):
    """Metrics on the test period, and the comparison with a baseline.

    Attributes:
        baseline: A second model, trained on the same examples; none when left out.
        metrics: What to compute; the first one decides. When left out, what fits the label: `auc`, `logloss`, `brier`
            and `calibration_error` of a truth value, `logloss`, `accuracy`, `macro_f1`, `weighted_f1`, `ovr_auc` (each
            class against the others) and `calibration_error` of classes, `class_distance` and `quadratic_kappa` too
            where these are ordered, `rmse`, `mae`, `r2` and `calibration_error` of a number,
            `poisson_deviance`, `rmse`, `mae` and `calibration_error` of a count.
        ranking: How good the order within groups is. When left out, it is judged where the problem has
            `examples.group`.
        slices: Columns by whose values the first metric is told apart, by the 20 most frequent ones: keys, `group`,
            `day` and features that the model or the baseline reads; numbers of more values in quarters. Whether the
            training split has rows of a key is told apart for each key in any case.
        gates: What the model has to reach, by metric; `slices` holds the first metric to its limits in every slice of
            at least 1 % of rows, and `latency` limits the milliseconds that one row takes in process, in 99 of 100
            cases. When one is not reached, the run ends with exit code 1.
        costs: What mistakes cost, for the table of thresholds in the report; of a truth value.
        champion: Folder of the bundle that is live, relative to the folder that holds ``conf``, to compare the model
            with on the examples that both have scored. When left out, the one that `kedro model promote` has made live,
            where there is one.
    """

    baseline: ModelSpec | None = None
    metrics: list[MetricName] = []
    ranking: RankingSpec | None = None
    compare: ComparisonSpec = ComparisonSpec()
    slices: list[str] = []
    gates: dict[str, MetricGateSpec] = {}
    costs: CostsSpec | None = None
    champion: str | None = None

    def metrics_for(self, task: Task, ordered: bool = False) -> tuple[str, ...]:
        """Name the metrics to compute for a task; ``ordered`` says whether the order of its classes means something."""
        kinds = {name: metrics.get(name) for name in metrics_of(task)}
        return tuple(
            self.metrics
            or (name for name, one in kinds.items() if task in one.default_for or (ordered and one.needs_order))
        )

    def cluster_for(self, problem: ProblemSpec) -> str:
        """Say what makes rows a cluster: what is named, but rows where it is days and there are none."""
        named = self.compare.cluster_by
        return "row" if named == DAY and problem.examples.timestamp is None else named

    def ranking_for(self, problem: ProblemSpec) -> RankingSpec | None:
        """Say how to judge the order within groups; None where it is not judged."""
        has_groups = problem.examples.group is not None and problem.label.task == "binary"
        ranking = self.ranking or (RankingSpec() if has_groups else None)
        return ranking if ranking and ranking.metrics else None

    def _check_gates(self, problem: ProblemSpec) -> Iterator[Mistake]:
        ranking = self.ranking_for(problem)
        known = [*self.metrics_for(problem.label.task, problem.label.ordered), *(ranking.metrics if ranking else ())]
        for name, gate in self.gates.items():
            if name == LATENCY:
                limits = gate.model_dump(exclude_none=True, exclude={"max"}, exclude_defaults=True)
                yield from (Mistake(f"gates.{name}.{one}", "latency has a max, in milliseconds") for one in limits)
            elif name not in [*known, SLICES]:
                yield Mistake(f"gates.{name}", unknown("metric", name, known) + " Only what is computed has a gate.")
            elif name == SLICES and gate.against == "champion":
                yield Mistake(f"gates.{name}.against", "slices are compared with the baseline alone")
            elif self.baseline is None and gate.against == "baseline":
                for limit in gate.needs_baseline:
                    yield Mistake(f"gates.{name}.{limit}", "needs evaluation.baseline, and there is none")

    def check(self, problem: ProblemSpec) -> Iterator[Mistake]:
        """Find what does not fit the problem; keys begin inside of the evaluation."""
        task = problem.label.task
        for position, metric in enumerate(self.metrics):
            if task not in metric_kind(metric).tasks:
                message = f"'{metric}' is not for a label of task '{task}'; there are {', '.join(metrics_of(task))}"
                yield Mistake(f"metrics.{position}", message)
            elif metric_kind(metric).needs_order and not problem.label.ordered:
                message = f"'{metric}' is for classes that have an order; write label.classes and label.ordered: true"
                yield Mistake(f"metrics.{position}", message)
        yield from self._check_gates(problem)
        if self.costs and task != "binary":
            yield Mistake("costs", f"are of a truth value; the label is of task '{task}'")
        columns = cluster_columns(problem)
        if self.cluster_for(problem) not in [*columns, "row"]:
            message = _no_column("cluster", self.compare.cluster_by, [*columns, "row"])
            yield Mistake("compare.cluster_by", message)
        if self.ranking and task == "binary" and self.ranking.relevant is not None:
            yield Mistake("ranking.relevant", "is for labels that are numbers; the problem's is a truth value")
        if self.ranking and task == "multiclass":
            yield Mistake("ranking", "is for truth values and numbers; the problem's label is one of several classes")
        elif self.ranking and self.ranking.within not in columns:
            yield Mistake("ranking.within", _no_column("column", self.ranking.within, columns))


def _no_column(what: str, name: str, known: list[str]) -> str:
    if name == GROUP:
        return f"the problem has no groups; name their column in problem.examples.group, or take {', '.join(known)}"
    return unknown(what, name, known)
