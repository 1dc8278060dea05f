"""A rolling origin: a model is judged on several stretches of time, each time trained on what lies before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from proml_kedro.engine.duckdb import microseconds
from proml_kedro.spec.base import PositiveDuration
from proml_kedro.spec.split import TEST, TRAIN, VALIDATION, Fold, SplitName, SplitSpec

_STEP = timedelta(microseconds=1)


class RollingSplit(SplitSpec):
    """Which examples train, which choose (validation) and which judge (test), once for each of several folds.

    The last fold's test period is the last ``every`` of the examples, that of the fold before the ``every`` before it,
    and so on. A fold's validation period lies before its test period, and all that is earlier trains. The model that is
    served is that of the last fold; the evaluation also trains one for each other fold, on its own period alone.

    Attributes:
        every: Length of a test period, in days of 24 hours.
        folds: How many there are.
        validation: Length of a validation period; ``every`` when left out.
    """

    example: ClassVar[Mapping[str, Any]] = {"every": "1w", "folds": 3}
    is_by_time: ClassVar[bool] = True
    needs_time: ClassVar[bool] = True

    by: Literal["rolling"]
    every: PositiveDuration
    folds: Annotated[int, Field(ge=2, le=100)]
    validation: PositiveDuration | None = None

    @property
    def _chosen_by(self) -> timedelta:
        return self.validation or self.every

    def sql(self, timestamp: str) -> str:
        """Return the split of each example in the last fold, in SQL; the last example decides when that begins."""
        moment = f"epoch_us(CAST({timestamp} AS TIMESTAMPTZ))"
        to_last = f"max({moment}) OVER () - {moment}"
        test, before = microseconds(self.every), microseconds(self.every + self._chosen_by)
        held_out = f"WHEN {to_last} < {test} THEN '{TEST}' WHEN {to_last} < {before} THEN '{VALIDATION}'"
        return f"CASE {held_out} ELSE '{TRAIN}' END"

    def folds_until(self, newest: datetime) -> list[Fold]:
        """List all folds, the earliest first; the last one is the split itself.

        Args:
            newest: Moment of the last example.
        """
        end = newest.astimezone(UTC) + _STEP
        ends = [end - number * self.every for number in reversed(range(self.folds))]
        return [Fold(one - self.every - self._chosen_by, one - self.every, one) for one in ends]

    def key_of(self, name: SplitName) -> str:
        """Return what decides whether a period has rows."""
        return {TEST: "every", VALIDATION: "validation" if self.validation else "every"}.get(name, "folds")
