"""Aggregates that are combined from one row a tick: counts, sums, means, extremes and shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from proml_kedro.engine.duckdb import enclosed
from proml_kedro.features.views.aggregates.base import (
    Aggregate,
    Event,
    Slot,
    finite,
    infinities,
    is_value,
    total,
    unless_infinite,
)
from proml_kedro.spec.dtype import Dtype


class Count(Aggregate):
    """How many events have a value; how many there are without an expression."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "x"}
    needs_expression: ClassVar[bool] = False
    fixed_dtype: ClassVar[Dtype | None] = "int"
    is_zero_when_empty: ClassVar[bool] = True

    agg: Literal["count"]

    def event_type(self) -> None:
        """Values are only counted."""
        return

    def event_value(self) -> str:
        """Return the value as it is, or 1."""
        return is_value(enclosed(self.expression)) if self.expression else "1"

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep the count."""
        return {"n": f"count({slot.value})"}

    def final(self, slot: Slot, frame: str) -> str:
        """Add the counts up."""
        return f"CAST(coalesce(sum({slot.column('n')}) OVER {frame}, 0) AS BIGINT)"

    def of_events(self, events: Sequence[Event], at: int) -> int:
        """Count."""
        return len(events)


class Sum(Aggregate):
    """The sum of the values, as exact as one part in 10^15 of the sum of their sizes."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "x"}
    is_zero_when_empty: ClassVar[bool] = True

    agg: Literal["sum"]

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep the sum of the finite values, and which infinities there are."""
        return {"s": f"fsum({finite(slot.value)})", "i": infinities(slot.value)}

    def final(self, slot: Slot, frame: str) -> str:
        """Add the sums up."""
        marks = f"bit_or({slot.column('i')}) OVER {frame}"
        return unless_infinite(marks, f"coalesce(fsum({slot.column('s')}) OVER {frame}, 0.0)")

    def of_events(self, events: Sequence[Event], at: int) -> float:
        """Add up."""
        return total(one.value for one in events)


class Mean(Aggregate):
    """The mean of the values."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "x"}

    agg: Literal["mean"]

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep count, sum of the finite values, and which infinities there are."""
        parts = {"s": f"fsum({finite(slot.value)})", "i": infinities(slot.value)}
        return {"n": f"count({slot.value})", **parts}

    def final(self, slot: Slot, frame: str) -> str:
        """Divide the sum by the count."""
        mean = f"fsum({slot.column('s')}) OVER {frame} / nullif(sum({slot.column('n')}) OVER {frame}, 0)"
        return unless_infinite(f"bit_or({slot.column('i')}) OVER {frame}", mean, both="NULL")

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Divide the sum by the count."""
        if not events:
            return None
        mean = total(one.value for one in events) / len(events)
        return None if math.isnan(mean) else mean


class _Extreme(Aggregate):
    """A value that SQL's aggregate of the same name takes of a tick and of a window alike."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "x"}

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep the extreme one."""
        return {"m": f"{self.agg}({slot.value})"}

    def final(self, slot: Slot, frame: str) -> str:
        """Take the extreme one."""
        return f"{self.agg}({slot.column('m')}) OVER {frame}"


class Min(_Extreme):
    """The smallest value."""

    agg: Literal["min"]

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Take the smallest."""
        return min((one.value for one in events), default=None)


class Max(_Extreme):
    """The largest value."""

    agg: Literal["max"]

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Take the largest."""
        return max((one.value for one in events), default=None)


class Rate(Aggregate):
    """The share of events for which the expression is true."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "b"}

    agg: Literal["rate"]

    def event_type(self) -> str:
        """Values are true or false."""
        return "BOOLEAN"

    def check_type(self, type_: str) -> str | None:
        """Refuse what is not true or false."""
        if type_ == "BOOLEAN":
            return None
        return f"is {type_}, not true or false, so no share of events; compare it with something"

    def event_value(self) -> str:
        """Return the truth value."""
        return f"CAST({enclosed(self.expression or '')} AS BOOLEAN)"

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep how many there are and how many are true."""
        return {"n": f"count({slot.value})", "s": f"count_if({slot.value})"}

    def final(self, slot: Slot, frame: str) -> str:
        """Divide those that are true by all."""
        true, all_ = slot.column("s"), slot.column("n")
        return f"CAST(sum({true}) OVER {frame} AS DOUBLE) / nullif(sum({all_}) OVER {frame}, 0)"

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Divide those that are true by all."""
        return sum(one.value for one in events) / len(events) if events else None
