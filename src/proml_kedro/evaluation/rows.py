"""The test period as a model and its baseline score it: what an evaluation takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        scores: What it predicts: a probability, or the mean of a number or count, shape (n,).
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
        label: What happened, shape (n,).
        candidate: The model.
        baseline: The model that it is compared with; None for none.
        task: Task of the label.
        clusters: The cluster of each row, shape (n,); each row is one when None.
        days: The date of each row, shape (n,), anything that ``datetime64[D]`` reads; None for no figures by week.
        grouping: The groups of rankings; None when no order is judged.
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

    def cluster_codes(self) -> npt.NDArray[np.int64]:
        """Number the cluster of each row from 0 without gaps, shape (n,)."""
        clusters = np.arange(len(self.label)) if self.clusters is None else self.clusters.astype(str)
        codes: npt.NDArray[np.int64] = np.unique(clusters, return_inverse=True)[1]
        return codes
