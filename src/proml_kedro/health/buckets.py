"""Periods of one length, one after the other: what rows of a log or a table are counted by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proml_kedro.engine.duckdb import microseconds

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Periods:
    """Consecutive periods of one length; weeks begin on Monday, days at midnight, UTC.

    Attributes:
        every: The length.
        first: Number of the first one.
        count: How many there are.
    """

    every: timedelta
    first: int
    count: int

    def begin(self, position: int) -> datetime:
        """Return when a period begins, by its position."""
        return _MONDAY + (self.first + position) * self.every

    @staticmethod
    def number_sql(moment: str, every: timedelta) -> str:
        """Return the number of the period that a moment is in, in SQL."""
        since = f"(epoch_us({moment}) - {microseconds(_MONDAY - datetime(1970, 1, 1, tzinfo=UTC))})"
        return f"CAST(floor({since} / {microseconds(every)}::DOUBLE) AS BIGINT)"
