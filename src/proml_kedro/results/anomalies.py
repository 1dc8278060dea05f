"""``anomalies``: what was unusual of figures over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proml_kedro.results.json_file import JsonFile

ALL = "all rows"
"""What stands for the dimension of a figure of all rows."""


@dataclass(frozen=True)
class Anomaly:
    """Consecutive periods in which a figure was unusual, in one direction.

    Attributes:
        id: The same each time for the same anomaly.
        monitor: Name of the figure.
        dimension: Column by whose value it is; ``all rows`` for none.
        value: That value; empty for none.
        begin: When it begins.
        end: When its last period is over.
        periods: How many of them were unusual.
        current: Mean figure in these.
        expected: Mean of what was to be expected.
        strength: How far the worst was from what was expected, in distances that are just not unusual.
        share: Of the table's rows in that time.
        events: Names of events in that time, or in the period before.
    """

    id: str
    monitor: str
    dimension: str
    value: str
    begin: datetime
    end: datetime
    periods: int
    current: float
    expected: float
    strength: float
    share: float
    events: tuple[str, ...] = ()

    @property
    def change(self) -> float | None:
        """By which share of what was expected the figure was off; None where 0 was expected."""
        return (self.current - self.expected) / abs(self.expected) if self.expected else None


@dataclass(frozen=True)
class Watched:
    """What was looked at of a monitor.

    Attributes:
        monitor: Its name.
        series: Number of series: all rows, and each value of a dimension.
        periods: Number of periods.
        judged: Share of the periods of all series of which it could be told.
        begin: When the first period begins.
        end: When the last one is over.
    """

    monitor: str
    series: int
    periods: int
    judged: float
    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Anomalies(JsonFile):
    """The anomalies of all monitors, the newest first: ``anomalies.json``.

    Attributes:
        anomalies: What was unusual.
        watched: What was looked at.
        notices: What was not looked at, and why.
    """

    FILE = "anomalies.json"
    INDENT = 2

    anomalies: tuple[Anomaly, ...]
    watched: tuple[Watched, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A figure over time beside its band; lists have a number for each period, or None.

    Attributes:
        monitor: Name of the figure.
        dimension: Its dimension; ``all rows`` for none.
        value: Value of the dimension.
        begin: When the first period begins.
        every_seconds: Length of a period.
        values: The figure.
        expected: What was to be expected.
        low: Below it is unusual.
        high: Above it is unusual.
    """

    monitor: str
    dimension: str
    value: str
    begin: datetime
    every_seconds: float
    values: tuple[float | None, ...]
    expected: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class Board(JsonFile):
    """What is shown of a problem's anomalies: ``board.json``.

    Attributes:
        problem: Name of the problem.
        until: Until when rows count.
        found: The anomalies, and what was looked at.
        charts: Figures of which there are anomalies, and of all rows.
    """

    FILE = "board.json"

    problem: str
    until: datetime
    found: Anomalies
    charts: tuple[Chart, ...]
