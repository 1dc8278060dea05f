"""The columns of a training set: one schema for the writer and for all readers.

The file ``training_set.parquet`` has a row for each example. Names that are not the user's own are the constants below;
nothing else in the package writes them as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.problem import ProblemSpec

EXAMPLE_ID: Final = "example_id"
"""Number of the example in the order of the examples' table, from 0."""
TIMESTAMP: Final = "timestamp"
"""The moment that the example is about."""
EVENT_TIMESTAMP: Final = "event_timestamp"
"""The moment as of which features are read: ``lead_time`` before :data:`TIMESTAMP`. Feature tables and Feast's entity
rows name the moment from which their values are known alike."""
CREATED_TIMESTAMP: Final = "created_timestamp"
"""In feature tables: of two rows of one key and moment, the one created later holds. No column of a training set."""
DAY: Final = "day"
"""Date of :data:`TIMESTAMP` in the time zone of the split."""
SPLIT: Final = "split"
"""One of :data:`proml_kedro.spec.split.SPLITS`."""
LABEL: Final = "label"
"""What is predicted."""
WEIGHT: Final = "weight"
"""How much the row counts; only where the problem has weights."""
GROUP: Final = "group"
"""Which rows are alternatives to each other; only where the problem has groups."""

SCORE: Final = "score"
"""In files of scores: what the model predicts. No column of a training set."""
BASELINE: Final = "baseline"
"""In files of scores: what the baseline predicts. No column of a training set."""
ORDER: Final = "order"
"""In files of scores: what rows are put in order by, where a ranking is judged. No column of a training set."""
CLASS: Final = "class"
"""In files of scores, of several classes: the most probable one. No column of a training set."""
ROW: Final = "row"
"""In files of scores: place of the row in what was scored, from 0. No column of a training set."""

RANK: Final = "rank"
"""In files of scores, of a model that says ``rank``: place of the row in its group, null for one that is not shown."""

FILE: Final = "training_set.parquet"

MOMENTS: Final = (TIMESTAMP, EVENT_TIMESTAMP, DAY, SPLIT)
"""Columns that say when and where to an example belongs, in the order of the file."""

SCORED: Final = (SCORE, BASELINE, ORDER, ROW, CLASS)
"""Columns of files of scores; an entity cannot have such a name either."""

RESERVED: Final = (EXAMPLE_ID, TIMESTAMP, EVENT_TIMESTAMP, DAY, SPLIT, LABEL, WEIGHT, GROUP)
"""Columns that are neither entities nor features; an entity cannot have such a name."""

ColumnType = Literal["id", "key", "moment", "date", "split", "label", "group"] | Dtype
"""``id``: int64; ``key``: int64 or text; ``moment``: timestamp in microseconds, UTC; ``label``: float64; ``group``: as
in the examples' table; a feature has its own type."""


def probability_of(name: str) -> str:
    """Return the column of a class's probability in files of scores.

    >>> probability_of("setosa")
    'probability.setosa'
    """
    return f"probability.{name}"


def auxiliary(name: str) -> str:
    """Return the column of an auxiliary label.

    >>> auxiliary("delay")
    'label.delay'
    """
    return f"{LABEL}.{name}"


@dataclass(frozen=True)
class TrainingSetSchema:
    """The columns of one problem's training set.

    Attributes:
        problem: The problem.
        features: Features to write, as ``view.feature``, with their types, in the order of the file.
    """

    problem: ProblemSpec
    features: Mapping[str, Dtype]

    @property
    def labels(self) -> list[str]:
        """The columns of the label and of what goes with it: weight, group, auxiliary labels."""
        examples = self.problem.examples
        weight = [WEIGHT] if examples.weight is not None else []
        group = [GROUP] if examples.group is not None else []
        return [LABEL, *weight, *group, *map(auxiliary, self.problem.auxiliary_labels)]

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Name and type of each column, in the order of the file."""
        own: dict[str, ColumnType] = {EXAMPLE_ID: "id"}
        own |= dict.fromkeys(self.problem.examples.entities, "key")
        if self.problem.examples.timestamp is not None:
            own |= {TIMESTAMP: "moment", EVENT_TIMESTAMP: "moment", DAY: "date"}
        own[SPLIT] = "split"
        own |= {name: "group" if name == GROUP else "label" for name in self.labels}
        return own | dict(self.features)


def cluster_columns(problem: ProblemSpec) -> list[str]:
    """Return the columns that say which rows belong together, by which metrics can be compared."""
    examples = problem.examples
    return [*([DAY] if examples.timestamp else []), *examples.entities, *([GROUP] if examples.group else [])]
