"""``diagnosis``: why a figure was unusual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from proml_kedro.results.json_file import JsonFile

Kind = Literal["set", "outside", "everybody", "mix"]
Verdict = Literal["set", "outside", "everybody", "mix", "nothing"]


@dataclass(frozen=True)
class Part:
    """A part of a change. The parts of a diagnosis add up to the change.

    Attributes:
        kind: ``set`` of values of the declared dimensions; ``outside``, the same of other columns of the table;
            ``everybody``, all rows that no set holds; ``mix``, that other rows came, not that they behaved otherwise.
        values: The values of a set, by column; empty for the others.
        rows: Number of rows in the unusual periods.
        share: Of all rows there.
        current: The figure of these rows.
        expected: What was to be expected of them.
        points: By how much the part moves the figure of all rows.
        sure: Whether it is more than chance.
    """

    kind: Kind
    values: Mapping[str, tuple[str, ...]]
    rows: int
    share: float
    current: float
    expected: float
    points: float
    sure: bool


@dataclass(frozen=True)
class ValuePart:
    """What one value of a dimension does to a figure. Those of a dimension add up to the change.

    Attributes:
        dimension: The dimension.
        value: The value.
        share: Of the rows now.
        share_before: Of the rows before.
        current: The figure of its rows now; None without rows.
        before: The figure before; None without rows.
        rate: By how much the figure of all rows moved, since rows of the value behave otherwise.
        mix: By how much it moved, since there are more or fewer of them.
    """

    dimension: str
    value: str
    share: float
    share_before: float
    current: float | None
    before: float | None
    rate: float
    mix: float


@dataclass(frozen=True)
class Related:
    """Another figure that was unusual at the time, or that moves with this one.

    Attributes:
        monitor: Its name.
        dimension: Its dimension; ``all rows`` for none.
        value: Value of the dimension.
        anomaly: Id of its anomaly in that time; empty where it had none.
        correlation: Of both figures' distances from what was expected, over all earlier periods; None where fewer
            than 20 are known.
    """

    monitor: str
    dimension: str
    value: str
    anomaly: str
    correlation: float | None


@dataclass(frozen=True)
class Happened:
    """An event near an anomaly.

    Attributes:
        moment: When.
        name: What.
    """

    moment: datetime
    name: str


@dataclass(frozen=True)
class Diagnosis(JsonFile):
    """Why a figure was unusual: ``diagnosis.json``.

    Attributes:
        anomaly: Id of the anomaly; empty where a time was asked for.
        monitor: Name of the figure.
        dimension: Column that the rows are of one value of; ``all rows`` for none.
        value: That value.
        begin: When it begins.
        end: When it is over.
        periods_before: Number of periods that it is compared with.
        rows: Rows of the time.
        rows_before: Rows of the periods before.
        current: The figure; of sums and counts, for each period.
        before: The figure of the periods before.
        verdict: What explains most: the kind of the largest part that is more than chance, or ``nothing``.
        words: The same in one line.
        parts: What the change is made of, sets first.
        values: Single values of dimensions, those that moved the figure most first.
        related: Other figures.
        events: What happened in that time or in the period before.
        notices: What was left out.
    """

    FILE = "diagnosis.json"
    INDENT = 2

    anomaly: str
    monitor: str
    dimension: str
    value: str
    begin: datetime
    end: datetime
    periods_before: int
    rows: int
    rows_before: int
    current: float
    before: float
    verdict: Verdict
    words: str
    parts: tuple[Part, ...]
    values: tuple[ValuePart, ...]
    related: tuple[Related, ...]
    events: tuple[Happened, ...]
    notices: tuple[str, ...] = ()
