"""``conf/evaluation/*.yaml``: by which figures, and against what, a model is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.base import Spec
from proml_kedro.spec.model import ModelSpec
from proml_kedro.spec.problem import ProblemSpec, Task
from proml_kedro.spec.training_set import DAY, GROUP, cluster_columns

Metric = Literal[
    "auc", "average_precision", "logloss", "brier", "calibration_error", "rmse", "mae", "r2", "poisson_deviance"
]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("auc", "average_precision", "logloss", "brier", "calibration_error"),
    "regression": ("rmse", "mae", "r2", "calibration_error"),
    "count": ("poisson_deviance", "rmse", "mae", "r2", "calibration_error"),
}
"""The metrics that fit a task."""

_DEFAULTS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("auc", "logloss", "brier", "calibration_error"),
    "regression": ("rmse", "mae", "r2", "calibration_error"),
    "count": ("poisson_deviance", "rmse", "mae", "calibration_error"),
}

CUT_METRICS = ("ndcg", "precision", "recall", "map")
"""Ranking metrics that look at the first k rows of a group."""

WHOLE_METRICS = ("mrr", "group_auc")
"""Ranking metrics of the whole group."""


def _known_ranking_metric(text: str) -> str:
    name, at, k = text.partition("@")
    if name in WHOLE_METRICS and not at:
        return text
    if name in CUT_METRICS and re.fullmatch(r"[1-9]\d{0,3}", k):
        return text
    if name in CUT_METRICS:
        raise ValueError(f"'{text}' does not say how many rows of a group to look at; write {name}@10")
    known = [*WHOLE_METRICS, *(f"{one}@10" for one in CUT_METRICS)]
    raise ValueError(unknown("ranking metric", text, known))


RankingMetric = Annotated[str, AfterValidator(_known_ranking_metric)]
"""``ndcg@K``, ``precision@K``, ``recall@K``, ``map@K``, ``mrr`` or ``group_auc``."""


class RankingSpec(Spec):
    """How good the order is in which the model puts rows that are alternatives to each other.

    Each figure is computed within every group, and averaged over the groups that have a positive row.

    Attributes:
        within: What makes rows alternatives: `group` (the problem's `examples.group`), `day`, or an entity.
        metrics: What to compute: `ndcg@K`, `precision@K`, `recall@K`, `map@K` of the first K rows, `mrr` (one over the
            place of the first positive row), `group_auc` (the AUC of each group).
    """

    within: str = GROUP
    metrics: list[RankingMetric] = ["ndcg@10", "mrr", "precision@1"]


class ComparisonSpec(Spec):
    """How sure a difference is, by a paired bootstrap.

    Attributes:
        cluster_by: What is drawn as a whole: ``day`` (of the split's time zone), ``group``, an entity, or ``row``. Rows
            of one day resemble each other; drawn one by one they make a difference look surer than it is.
        resamples: Number of bootstrap samples.
        confidence: Share of samples that the interval holds.
    """

    cluster_by: str = DAY
    resamples: Annotated[int, Field(ge=20, le=100_000)] = 200
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class EvaluationSpec(Spec):
    """Metrics on the test period, and the comparison with a baseline.

    Attributes:
        baseline: A second model, trained on the same examples; none when left out.
        metrics: What to compute; the first one decides. When left out, what fits the label: `auc`, `logloss`, `brier`
            and `calibration_error` of a truth value, `rmse`, `mae`, `r2` and `calibration_error` of a number,
            `poisson_deviance`, `rmse`, `mae` and `calibration_error` of a count.
        ranking: How good the order within groups is. When left out, it is judged where the problem has
            `examples.group`.
    """

    baseline: ModelSpec | None = None
    metrics: list[Metric] = []
    ranking: RankingSpec | None = None
    compare: ComparisonSpec = ComparisonSpec()

    def metrics_for(self, task: Task) -> tuple[Metric, ...]:
        """What to compute for this sort of label."""
        return tuple(self.metrics) or _DEFAULTS[task]

    def ranking_for(self, problem: ProblemSpec) -> RankingSpec | None:
        """How to judge the order within groups; None where it is not judged."""
        has_groups = problem.examples.group is not None and problem.label.task == "binary"
        ranking = self.ranking or (RankingSpec() if has_groups else None)
        return ranking if ranking and ranking.metrics else None

    def check(self, problem: ProblemSpec) -> Iterator[Mistake]:
        """What does not fit the problem; keys begin inside of the evaluation."""
        task, fitting = problem.label.task, METRICS[problem.label.task]
        for position, metric in enumerate(self.metrics):
            if metric not in fitting:
                message = f"'{metric}' is not for a label of task '{task}'; there are {', '.join(fitting)}"
                yield Mistake(f"metrics.{position}", message)
        columns = cluster_columns(problem)
        if self.compare.cluster_by not in [*columns, "row"]:
            message = _no_column("cluster", self.compare.cluster_by, [*columns, "row"])
            yield Mistake("compare.cluster_by", message)
        if self.ranking and task != "binary":
            yield Mistake("ranking", f"is for truth values; the problem's label is of task '{task}'")
        elif self.ranking and self.ranking.within not in columns:
            yield Mistake("ranking.within", _no_column("column", self.ranking.within, columns))


def _no_column(what: str, name: str, known: list[str]) -> str:
    if name == GROUP:
        return f"the problem has no groups; name their column in problem.examples.group, or take {', '.join(known)}"
    return unknown(what, name, known)
