"""Aggregates that DuckDB's window operator computes from a frame's events. They cost a row for each event.

A quantile takes a sorted tree over a key's events. A standard deviation combines count, mean and sum of squared
differences (Chan, Golub and LeVeque, 1979), which loses no digits when the mean is far from 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from proml_kedro.features.views.aggregates.base import Aggregate, Event, Slot, finite, infinities

_LARGEST = 1e150


class Quantile(Aggregate):
    """A quantile of the values. Between two values it is interpolated; null between minus and plus infinity.

    Attributes:
        q: Which one: 0.5 is the median.
    """

    example: ClassVar[Mapping[str, Any]] = {"expression": "x", "q": 0.9}
    from_events: ClassVar[bool] = True

    agg: Literal["quantile"]
    q: Annotated[float, Field(ge=0, le=1)]

    def option_texts(self) -> dict[str, str]:
        """Return ``q`` under the name that Feast's registry has always had for it."""
        return {"quantile": str(self.q)}

    def final(self, slot: Slot, frame: str) -> str:
        """Take it from the events."""
        return f"nullif(quantile_cont({slot.value}, {self.q}) OVER {frame}, 'nan'::DOUBLE)"

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Sort and interpolate."""
        values = sorted(one.value for one in events)
        if not values:
            return None
        place = self.q * (len(values) - 1)
        low = math.floor(place)
        high = values[min(low + 1, len(values) - 1)]
        share = place - low
        if not share or values[low] == high:
            return float(values[low])
        if math.isinf(values[low]):
            return None if math.isinf(high) else float(values[low])
        return float(values[low] + (high - values[low]) * share)


class Std(Aggregate):
    """The sample standard deviation; null for fewer than two values, and where one is infinite.

    A value beyond 1e150 counts as infinite, since its square is; a deviation below 1e-150 as 0.
    """

    example: ClassVar[Mapping[str, Any]] = {"expression": "x"}
    from_events: ClassVar[bool] = True

    agg: Literal["std"]

    def event_value(self) -> str:
        """Return the number, infinite when its square is."""
        value = super().event_value()
        return f"CASE WHEN abs({value}) > {_LARGEST} THEN sign({value}) * 'inf'::DOUBLE ELSE {value} END"

    def final(self, slot: Slot, frame: str) -> str:
        """Take it from the events."""
        none_is = f"{infinities(slot.value)} OVER {frame} IS NULL"
        return f"CASE WHEN {none_is} THEN stddev_samp({finite(slot.value)}) OVER {frame} END"

    def of_events(self, events: Sequence[Event], at: int) -> float | None:
        """Sum squared differences from the mean."""
        values = [one.value for one in events]
        return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
