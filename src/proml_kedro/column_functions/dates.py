"""Functions of moments, written as text: dates and moments of ISO 8601, of UTC unless they name an offset.

Text holds a moment exactly; a number of seconds since 1970 does not fit into the single precision of models.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from proml_kedro.column_functions.texts import Texts
from proml_kedro.spec.moments import SECONDS

logger = logging.getLogger(__name__)

_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda moment: moment.year,
    "quarter": lambda moment: (moment.month + 2) // 3,
    "month": lambda moment: moment.month,
    "week": lambda moment: moment.isocalendar().week,
    "day": lambda moment: moment.day,
    "isodow": lambda moment: moment.isoweekday(),
    "doy": lambda moment: moment.timetuple().tm_yday,
    "hour": lambda moment: moment.hour,
    "minute": lambda moment: moment.minute,
}
_ENOUGH = 100  # texts to tell that a column holds no dates


def date_part(part: str, moments: Texts, timezone: str | None = None) -> npt.NDArray[np.float64]:
    """Find a part of each moment as a number, shape (n,); missing where the text is no moment.

    Args:
        part: One of :data:`proml_kedro.spec.moments.DATE_PARTS`.
        moments: Texts of ISO 8601.
        timezone: The zone whose clock and calendar count; UTC when left out.
    """
    zone = ZoneInfo(timezone) if timezone else UTC
    parts = {text: _part(part, moment, zone) for text, moment in _read(moments).items()}
    return _looked_up(moments, parts)


def time_since(unit: str, moments: Texts, earlier: Texts) -> npt.NDArray[np.float64]:
    """Measure the time from the second moment to the first, negative when that is the earlier one, shape (n,).

    Args:
        unit: One of :data:`proml_kedro.spec.moments.SECONDS`; the result has fractions.
        moments: Texts of ISO 8601.
        earlier: Texts of ISO 8601.
    """
    ends, starts = _seconds(moments), _seconds(earlier)
    return (ends - starts) / SECONDS[unit]


def _seconds(moments: Texts) -> npt.NDArray[np.float64]:
    """Seconds since 1970, to the microsecond in float64."""
    return _looked_up(moments, {text: moment.timestamp() for text, moment in _read(moments).items()})


def _part(part: str, moment: datetime, zone: ZoneInfo | object) -> float:
    try:
        return float(_PARTS[part](moment.astimezone(zone)))  # type: ignore[arg-type]
    except OverflowError:  # a calendar from year 1 to 9999
        return math.nan


def _read(texts: Texts) -> dict[str, datetime]:
    """The moments among texts, each read once; it is said when most are none."""
    known = {one for one in texts.tolist() if one is not None}
    found = {one: moment for one in known if (moment := _moment(one)) is not None}
    if len(known) >= _ENOUGH and 2 * len(found) < len(known):
        logger.warning(
            "%d of %d texts are no dates of ISO 8601, such as 2026-06-01 or 2026-06-01T12:00:00Z, and count as missing",
            len(known) - len(found),
            len(known),
        )
    return found


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _looked_up(texts: Texts, values: dict[str, float]) -> npt.NDArray[np.float64]:
    return np.fromiter((values.get(one, math.nan) for one in texts.tolist()), np.float64, len(texts))
