"""Examples divided by time: the only way to judge what will be used on later examples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import model_validator

from proml_kedro.engine.duckdb import moment_literal
from proml_kedro.spec.base import Moment
from proml_kedro.spec.split import TEST, TRAIN, VALIDATION, SplitName, SplitSpec


class TimeSplit(SplitSpec):
    """Which examples train, which choose (validation) and which judge (test), by time.

    Attributes:
        validation_from: First day (or moment) of the validation period; examples before it train.
        test_from: First day (or moment) of the test period.
        timezone: In which days begin, by IANA name.
    """

    example: ClassVar[Mapping[str, Any]] = {"validation_from": "2024-02-20", "test_from": "2024-03-10"}
    is_by_time: ClassVar[bool] = True
    needs_time: ClassVar[bool] = True

    by: Literal["time"] = "time"
    validation_from: Moment
    test_from: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.boundaries[0] >= self.boundaries[1]:
            raise ValueError(f"validation_from {self.validation_from} is not before test_from {self.test_from}")
        return self

    @property
    def boundaries(self) -> tuple[datetime, datetime]:
        """The first moments of validation and of test, with their time zone."""
        return self._moment(self.validation_from), self._moment(self.test_from)

    def _moment(self, value: datetime | date) -> datetime:
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(self.timezone))

    def sql(self, timestamp: str) -> str:
        """Return the split of each example, in SQL."""
        validation, test = (moment_literal(moment) for moment in self.boundaries)
        return (
            f"CASE WHEN {timestamp} < {validation} THEN '{TRAIN}' WHEN {timestamp} < {test} THEN '{VALIDATION}' "
            f"ELSE '{TEST}' END"
        )

    def key_of(self, name: SplitName) -> str:
        """Return the boundary that decides whether a period has rows."""
        return "test_from" if name == TEST else "validation_from"
