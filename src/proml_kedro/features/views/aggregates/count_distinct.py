"""How many different values there are, as a running sum of changes.

+1 where a value comes into a window, -1 where it leaves it because it was not seen again. All of it is sorting and
adding up, which DuckDB does on disk when memory is short. It costs a row for each distinct value and tick, and one more
for each window that the value leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from proml_kedro.engine.duckdb import enclosed, microseconds
from proml_kedro.features.views.aggregates.base import ALL_TIME, Aggregate, Event, Slot, is_value
from proml_kedro.spec.dtype import Dtype


class CountDistinct(Aggregate):
    """How many different values there are, of any type."""

    example: ClassVar[Mapping[str, Any]] = {"expression": "s"}
    fixed_dtype: ClassVar[Dtype | None] = "int"
    is_zero_when_empty: ClassVar[bool] = True

    agg: Literal["count_distinct"]

    def event_type(self) -> None:
        """Values are only compared."""
        return

    def event_value(self) -> str:
        """Return the value as it is."""
        return is_value(enclosed(self.expression or ""))

    def changes(self, slot: Slot, frames: Sequence[tuple[str, timedelta | None]]) -> str:
        """Say by how much the number of different values changes at a tick, in each window."""
        i, by, value = slot.number, slot.by, slot.value
        names = [name for name, _ in frames]
        # A value that is seen again while it still is in a window changes nothing there.
        news = {name: "(__last IS NULL)" for name, _ in frames}
        news |= {
            one: f"(__last IS NULL OR __last + {microseconds(length)} < __tick)" for one, length in frames if length
        }
        come = ", ".join(f"CAST({sql} AS TINYINT) AS {one}" for one, sql in news.items())
        parts = [f"SELECT {by}, __tick, {come} FROM seen{i}"]
        for name, length in frames:
            if length:
                gone = f"__tick + {microseconds(length)}"
                changes = ", ".join(f"CAST({-1 if one == name else 0} AS TINYINT) AS {one}" for one in names)
                alone = f"__next IS NULL OR {gone} < __next"
                parts.append(f"SELECT {by}, {gone} AS __tick, {changes} FROM seen{i} WHERE {alone}")
        sums = ", ".join(f"sum({name}) AS __d{i}_{name}" for name in names)
        return f"""
seen{i} AS (SELECT {by}, __tick, lag(__tick) OVER same AS __last, lead(__tick) OVER same AS __next
    FROM (SELECT DISTINCT {by}, __tick, {value} AS __value FROM events WHERE {value} IS NOT NULL)
    WINDOW same AS (PARTITION BY {by}, __value ORDER BY __tick)),
changes{i} AS (SELECT {by}, __tick, {sums} FROM ({" UNION ALL ".join(parts)}) GROUP BY {by}, __tick)"""

    def final(self, slot: Slot, frame: str) -> str:
        """Add up the changes of the window since the beginning."""
        return f"CAST(coalesce(sum({slot.column('d')}_{frame}) OVER {ALL_TIME}, 0) AS BIGINT)"

    def of_events(self, events: Sequence[Event], at: int) -> int:
        """Count different values."""
        return len({one.value for one in events})
