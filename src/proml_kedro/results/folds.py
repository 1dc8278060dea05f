"""``folds.json`` of an evaluation: how good the model is in each fold of a rolling origin, and over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from proml_kedro.results.evaluation import MetricDifference
from proml_kedro.results.json_file import JsonFile


@dataclass(frozen=True, kw_only=True)
class FoldFacts:
    """Figures of the test period of a fold, or of all of them together; None for what is not defined.

    Attributes:
        start: First moment of the test period, in ISO format, UTC; in the file ``from``.
        to: Moment at which it ends.
        rows: Rows of the test period.
        learned: Rows that trained or chose the fold's model; None of all folds together.
        candidate: Each metric of the model.
        baseline: Each metric of the baseline; None when there is none.
        differences: By metric; empty without a baseline.
    """

    start: Annotated[str, Field(alias="from")]
    to: str
    rows: int
    learned: int | None = None
    candidate: Mapping[str, float | None]
    baseline: Mapping[str, float | None] | None = None
    differences: Mapping[str, MetricDifference] = field(default_factory=dict)


@dataclass(frozen=True)
class Folds(JsonFile):
    """``folds.json``, which is there for splits with several folds.

    Attributes:
        folds: Each fold, the earliest first; the last one is the split of the run, and its model is the one that is
            served.
        together: All test rows of all folds, each scored by the model of its fold.
    """

    FILE = "folds.json"
    SCORES = "folds.parquet"
    INDENT = 2

    folds: tuple[FoldFacts, ...]
    together: FoldFacts
