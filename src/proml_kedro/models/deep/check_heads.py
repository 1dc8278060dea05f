"""Mistakes of heads, and of what early stopping goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from proml_kedro import extensions
from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.heads import Head
from proml_kedro.spec.problem import ProblemSpec


def check_heads(heads: Mapping[str, Head], problem: ProblemSpec) -> Iterator[Mistake]:
    """Find labels that the problem does not have, and losses that do not fit it.

    Args:
        heads: The heads by their keys, as ``heads.sale``.
        problem: What is predicted.
    """
    task = problem.label.task
    for key, head in heads.items():
        if head.label is not None and head.label not in problem.auxiliary_labels:
            message = unknown("auxiliary label of the problem", head.label, problem.auxiliary_labels)
            yield Mistake(f"{key}.label", message)
        if head.label is None and task not in head.tasks:
            able = ", ".join(one for one in extensions.heads.names() if task in extensions.heads.get(one).tasks)
            yield Mistake(f"{key}.loss", f"'{head.loss}' does not fit the problem's label, a {task}; write {able}")
        if head.by_group and problem.examples.group is None:
            message = f"'{head.loss}' compares rows of a group: problem.examples.group says of which"
            yield Mistake(f"{key}.loss", message)


def find_metric(heads: Mapping[str, Head], metric: str) -> tuple[str | None, str] | None:
    """Find the head and the metric that early stopping goes by.

    Args:
        heads: The heads by name.
        metric: ``loss``, a metric, or ``HEAD.METRIC``.

    Returns:
        The name of the head, None for the loss of all, and the metric; None when no head has it.
    """
    if metric == "loss":
        return None, "loss"
    wanted, _, own = metric.rpartition(".")
    for name, head in heads.items():
        if wanted in ("", name) and own in (*head.metrics, "loss"):
            return name, own
    return None


def check_metric(heads: Mapping[str, Head], metric: str, named: Sequence[str]) -> Iterator[Mistake]:
    """Find an early stopping that goes by a metric of no head.

    Args:
        heads: The heads by name.
        metric: As YAML has it.
        named: Heads whose names are the user's own, for the metrics to suggest.
    """
    if find_metric(heads, metric) is not None:
        return
    known = ["loss", *(one for head in heads.values() for one in head.metrics)]
    known += [f"{name}.{one}" for name in named for one in (*heads[name].metrics, "loss")]
    yield Mistake("training.early_stopping.metric", unknown("metric of a head", metric, known))
