"""What an aggregate is: its YAML, its SQL, and the same in Python for one window at a time.

The SQL works on a clock. Events are summed up per *tick* of it; a window is a RANGE frame over ticks. So an aggregate
says what is kept of a tick's events (:meth:`Aggregate.partials`) and what a frame makes of that
(:meth:`Aggregate.final`). One that cannot be combined from ticks reads the events (:attr:`Aggregate.from_events`), or
turns them into changes of its own (:meth:`Aggregate.changes`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from proml_kedro.engine.duckdb import enclosed, number
from proml_kedro.spec.feature_kinds import WindowFeature, window_length

TICK = "__tick"
"""Column of the tick at which a row is first counted, in microseconds since 1970."""
KNOWN = "__known"
"""Column of the moment from which an event is known, in microseconds since 1970."""
POSITION = "__position"
"""Column of an event's place in the table, from 0."""
ALL_TIME = "w0"
"""Name of the frame that reaches back to the beginning."""


@dataclass(frozen=True)
class Slot:
    """A feature's place in the SQL of its view.

    Attributes:
        number: Which of the view's features it is, from 0.
        by: The key columns, as they stand after PARTITION BY.
    """

    number: int
    by: str

    def column(self, part: str) -> str:
        """Return the column of a part that an aggregate keeps."""
        return f"__{part}{self.number}"

    @property
    def value(self) -> str:
        """Column with what an event gives to the feature; null when it takes no part."""
        return self.column("v")


@dataclass(frozen=True)
class Event:
    """An event that takes part in a window.

    Attributes:
        known: From when it is known, in microseconds since 1970.
        value: What it gives, not null.
    """

    known: int
    value: Any


class Aggregate(WindowFeature):
    """An aggregate that can be computed. One that users add is a subclass, registered by an entry point.

    :func:`proml_kedro.testing.check_aggregate` proves that its SQL and :meth:`of_events` agree.
    """

    example: ClassVar[Mapping[str, Any]] = {}
    """Keys of YAML beside ``agg`` and ``windows``, for the law and the reference. Events have the columns ``x``
    (a number), ``s`` (text) and ``b`` (a truth value), each with nulls."""
    from_events: ClassVar[bool] = False
    """Whether :meth:`final` reads the events of a frame, in :attr:`Slot.value`, rather than kept parts."""
    reads_known: ClassVar[bool] = False
    """Whether :meth:`partials` reads :data:`KNOWN`."""
    reads_position: ClassVar[bool] = False
    """Whether :meth:`partials` reads :data:`POSITION`, which decides between events known at the same moment."""

    def event_type(self) -> str | None:
        """Return the SQL type that an event's value is given; None when it is taken as it is."""
        return "DOUBLE"

    def check_type(self, type_: str) -> str | None:
        """Return what is wrong with the SQL type of the expression, as the end of a sentence; None for nothing."""
        return None

    def event_value(self) -> str:
        """Return what an event gives, in SQL, whether the filter holds or not."""
        return number(self.expression or "1", "float")

    def value_sql(self) -> str:
        """Return what an event gives to the aggregate, in SQL; null when it takes no part."""
        value = self.event_value()
        return f"CASE WHEN {enclosed(self.filter)} THEN {value} END" if self.filter else value

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Return what is kept of a tick's events: part → SQL aggregate over the events of the tick.

        Args:
            slot: Names to use.
        """
        return {}

    @abstractmethod
    def final(self, slot: Slot, frame: str) -> str:
        """Return the value at a tick, in SQL.

        Args:
            slot: Names to use; a part is ``slot.column(part)``, with one row a tick, null where no event is.
            frame: Name of the window's frame, as it stands after OVER.
        """

    def changes(self, slot: Slot, frames: Sequence[tuple[str, timedelta | None]]) -> str | None:
        """Return common table expressions to join, if the aggregate needs more than parts.

        Args:
            slot: Names to use.
            frames: Name and length of each window's frame; no length when it reaches back to the beginning.

        Returns:
            Expressions that read ``events``. The last one is called ``changes{slot.number}``; it has the keys,
            :data:`TICK`, and whatever :meth:`final` reads.
        """
        return None

    def reach(self, window: str) -> timedelta | None:
        """Return how far back a window's frame goes; None when to the beginning."""
        return window_length(window)

    def renewal(self, snapshot: timedelta) -> tuple[timedelta, int] | None:
        """Return how values that change without events are written anew after one: the step, and how often.

        Args:
            snapshot: Step of the view's clock; the step is a multiple of it.
        """
        return None

    @abstractmethod
    def of_events(self, events: Sequence[Event], at: int) -> Any:
        """Return the value of one window, computed in Python.

        Args:
            events: All events that take part, by the moment they are known and their place in the table.
            at: The tick, in microseconds since 1970.

        Returns:
            The value; None for null.
        """


def finite(value: str) -> str:
    """Return a number in SQL, null when it is infinite: one infinite value makes a sum not-a-number."""
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def infinities(value: str) -> str:
    """Return which infinities there are among values, as an SQL aggregate: 1 for plus, 2 for minus, 3 for both.

    It is null where there are none. What is kept of a tick is put together by ``bit_or`` over a frame.
    """
    return f"bit_or(CASE {value} WHEN 'inf'::DOUBLE THEN 1 WHEN '-inf'::DOUBLE THEN 2 END)"


def unless_infinite(marks: str, value: str, both: str = "'nan'::DOUBLE") -> str:
    """Return what a frame makes of its finite values, or the infinity that it holds, in SQL.

    Args:
        marks: What :func:`infinities` finds in the frame.
        value: What the finite values give.
        both: What plus and minus infinity give: not-a-number, or null where that is not taken for 0.
    """
    return f"CASE {marks} WHEN 1 THEN 'inf'::DOUBLE WHEN 2 THEN '-inf'::DOUBLE WHEN 3 THEN {both} ELSE {value} END"


def total(values: Iterable[float]) -> float:
    """Add up without an error of rounding; infinite when a value is, not-a-number for both infinities."""
    known = list(values)
    return sum(known) if any(map(math.isinf, known)) else math.fsum(known)


def is_value(value: str) -> str:
    """Return a value of any type in SQL, null when it is not-a-number, which counts as missing everywhere."""
    is_nan = f"typeof({value}) IN ('FLOAT', 'DOUBLE') AND isnan(TRY_CAST({value} AS DOUBLE))"
    return f"CASE WHEN {is_nan} THEN NULL ELSE {value} END"


def floor_sql(value: str, step: int) -> str:
    """Return the largest multiple of a step that is not above an integer. ``%`` alone rounds towards 0, not down."""
    return f"({value} - (({value} % {step}) + {step}) % {step})"
