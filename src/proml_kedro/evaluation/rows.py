"""The test period as a model and its baseline score it: what an evaluation takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.spec.problem import Task

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model.

    Attributes:
        name: Of the model.
        scores: What it predicts: a probability, or the mean of a number or count, shape (n,); the probabilities of
            several classes, shape (n, classes).
        order: What rows are put in order by, shape (n,); the scores themselves when None. They may differ: what is only
            known once rows have been ordered, such as a position, is then the same for all of them.
    """

    name: str
    scores: AnyArray
    order: AnyArray | None = None

    @property
    def ranked_by(self) -> AnyArray:
        """What rows are put in order by, shape (n,)."""
        return self.scores if self.order is None else self.order


@dataclass(frozen=True)
class Grouping:
    """The groups of rows within which an order is judged.

    Attributes:
        within: What makes rows a group.
        groups: The group of each row, numbered from 0 without gaps, shape (n,).
    """

    within: str
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """A part of the rows that is judged by itself.

    Attributes:
        column: What tells it from other parts.
        value: Which part it is.
        rows: Its rows, shape (n,).
    """

    column: str
    value: str
    rows: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredRows:
    """The rows of the test period.

    Attributes:
        label: What happened, shape (n,); of several classes the number of each row's, from 0.
        candidate: The model.
        baseline: The model that it is compared with; None for none.
        task: Task of the label.
        clusters: The cluster of each row, shape (n,); each row is one when None.
        days: The date of each row, shape (n,), anything that ``datetime64[D]`` reads; None for no figures by week.
        grouping: The groups of rankings; None when no order is judged.
        classes: Names of the label's classes in the order of their numbers; empty for other tasks.
        ordered: Whether the order of the classes means something.
        slices: Parts that are judged by themselves.
    """

    label: AnyArray
    candidate: ModelScores
    baseline: ModelScores | None = None
    task: Task = "binary"
    clusters: AnyArray | None = None
    days: AnyArray | None = None
    grouping: Grouping | None = None
    slices: Sequence[Slice] = ()
    classes: tuple[str, ...] = ()
    ordered: bool = False

    def class_shares(self) -> dict[str, float]:
        """Compute the share of rows of each class; empty for other tasks."""
        counts = np.bincount(self.label.astype(np.int64), minlength=len(self.classes)) if self.classes else ()
        return {name: float(count) / len(self.label) for name, count in zip(self.classes, counts, strict=True)}

    def join(self, others: Sequence[ScoredRows]) -> ScoredRows:
        """Append rows that other models of the same names have scored, without parts that are judged by themselves.

        A group of rankings never spans several.
        """
        every = [self, *others]
        groupings = [one.grouping for one in every if one.grouping]
        return replace(
            self,
            label=np.concatenate([one.label for one in every]),
            candidate=_joined([one.candidate for one in every]),
            baseline=_joined([one.baseline for one in every if one.baseline]) if self.baseline else None,
            clusters=None if self.clusters is None else np.concatenate([one.clusters for one in every]),
            days=None if self.days is None else np.concatenate([one.days for one in every]),
            grouping=_joined_groups(groupings) if groupings else None,
            slices=(),
        )

    def cluster_codes(self) -> npt.NDArray[np.int64]:
        """Number the cluster of each row from 0 without gaps, shape (n,)."""
        clusters = np.arange(len(self.label)) if self.clusters is None else self.clusters.astype(str)
        codes: npt.NDArray[np.int64] = np.unique(clusters, return_inverse=True)[1]
        return codes


def _joined(scores: Sequence[ModelScores]) -> ModelScores:
    orders = [one.order for one in scores if one.order is not None]
    order = np.concatenate(orders) if len(orders) == len(scores) else None
    return ModelScores(scores[0].name, np.concatenate([one.scores for one in scores]), order)


def _joined_groups(groupings: Sequence[Grouping]) -> Grouping:
    firsts = np.cumsum([0, *(int(one.groups.max()) + 1 for one in groupings[:-1])])
    groups = [one.groups + first for one, first in zip(groupings, firsts, strict=True)]
    return Grouping(groupings[0].within, np.concatenate(groups))
