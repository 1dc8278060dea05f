"""Words for parts of moments and for units of time, as YAML and expressions write them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

DatePart = Literal["year", "quarter", "month", "week", "day", "isodow", "doy", "hour", "minute"]
"""As SQL has them: ``week`` is the week of ISO 8601, ``isodow`` the day of the week from 1 for Monday, ``doy`` the day
of the year."""

TimeUnit = Literal["seconds", "minutes", "hours", "days"]

DATE_PARTS: tuple[str, ...] = get_args(DatePart)
SECONDS: dict[str, int] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
"""How many seconds a unit has."""


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/Berlin") from error
    return name


TimeZone = Annotated[str, AfterValidator(_known)]
"""The name of a time zone, such as ``Europe/Berlin``."""
