"""``kind: date_part`` and ``time_since``: functions of moments, which are features of dtype ``str``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from proml_kedro.models.producers.base import Producer
from proml_kedro.spec.moments import DatePart, TimeUnit, TimeZone

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class PartOfDate(Producer):
    """A part of a date or moment, such as its hour, as a number; missing where the text is no date of ISO 8601.

    Attributes:
        part: Which. ``isodow`` is the day of the week from 1 for Monday, ``doy`` the day of the year.
        timezone: The zone whose clock and calendar count, such as ``Europe/Berlin``. A moment without an offset is one
            of UTC.
    """

    takes_numbers: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = True
    count: ClassVar[int | None] = 1

    kind: Literal["date_part"]
    part: DatePart
    timezone: TimeZone | None = None

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the part, shape (n,)."""
        from proml_kedro.column_functions.dates import date_part

        return date_part(self.part, values[0], self.timezone)


class TimeSince(Producer):
    """The time from the second moment to the first; missing where a text is no date of ISO 8601.

    Attributes:
        unit: What it is counted in, with fractions.
    """

    takes_numbers: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = True
    count: ClassVar[int | None] = 2

    kind: Literal["time_since"]
    unit: TimeUnit = "days"

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the time, shape (n,)."""
        from proml_kedro.column_functions.dates import time_since

        return time_since(self.unit, values[0], values[1])
