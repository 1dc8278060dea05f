"""Mistakes of heads, and of what early stopping goes by."""

from __future__ import annotations

from collections.abc import Iterator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.heads import heads
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.spec.problem import ProblemSpec


def check_heads(spec: DeepSpec, problem: ProblemSpec) -> Iterator[Mistake]:
    """The mistakes, with keys that begin inside of the component."""
    task = problem.label.task
    for name, head in spec.all_heads().items():
        here = "head" if spec.head else f"heads.{name}"
        if head.label is not None and head.label not in problem.auxiliary_labels:
            yield Mistake(
                f"{here}.label", unknown("auxiliary label of the problem", head.label, problem.auxiliary_labels)
            )
        if head.label is None and task not in head.tasks:
            able = ", ".join(one for one in heads.names() if task in heads.get(one).tasks)
            yield Mistake(f"{here}.loss", f"'{head.loss}' does not fit the problem's label, a {task}; write {able}")
        if head.by_group and problem.examples.group is None:
            yield Mistake(
                f"{here}.loss", f"'{head.loss}' compares rows of a group: problem.examples.group says of which"
            )
    if spec.training.early_stopping and judged_by(spec) is None:
        metric = spec.training.early_stopping.metric
        yield Mistake("training.early_stopping.metric", unknown("metric of a head", metric, _metrics(spec)))


def judged_by(spec: DeepSpec) -> tuple[str | None, str] | None:
    """The head and the metric that early stopping goes by; no head is the loss of all; None when there is neither."""
    metric = spec.training.early_stopping.metric if spec.training.early_stopping else "loss"
    if metric == "loss":
        return None, "loss"
    head, _, own = metric.rpartition(".")
    for name, one in spec.all_heads().items():
        if head in ("", name) and own in (*one.metrics, "loss"):
            return name, own
    return None


def _metrics(spec: DeepSpec) -> list[str]:
    named = [f"{name}.{metric}" for name, head in spec.heads.items() for metric in (*head.metrics, "loss")]
    return ["loss", *(metric for head in spec.all_heads().values() for metric in head.metrics), *named]
