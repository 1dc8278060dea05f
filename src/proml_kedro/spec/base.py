"""What every part of the configuration is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from proml_kedro.errors import shortened
from proml_kedro.extensions import Registry
from proml_kedro.spec.truth_values import refuse_truth_values

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_LONGEST = timedelta(days=365_250)
"""A thousand years: more would leave Python's calendar once it is taken from a date."""

_NUMBER = re.compile(r"[+-]?[\d_]+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)


class Spec(BaseModel):
    """A checked piece of YAML: unknown keys are errors, and nothing changes it afterwards.

    A number is finite, and true or false is none.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {}
    """Keys whose value is a name in a registry."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name is not None and isinstance(value, bool | list | dict):
            refuse_truth_values(cls.model_fields[info.field_name].annotation, value)
        return value

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class that checks a piece of YAML: this one, unless its kind decides which subclass does."""
        return cls


def parse_duration(text: Any) -> Any:
    """Read ``15m``, ``3h``, ``7d`` into a timedelta, and 0; what is neither text nor a number goes on to pydantic.

    Raises:
        ValueError: The text is not a whole number with one of the units s, m, h, d, w, or a number has no unit.
    """
    if isinstance(text, bool):
        raise ValueError(f"must be a duration, such as 30s, 15m, 3h, 7d or 2w, not {str(text).lower()}")
    if isinstance(text, int | float):
        if text == 0:
            return timedelta(0)
        raise ValueError(f"{text:g} has no unit; write a number and a unit: 30s, 15m, 3h, 7d, 2w")
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"(\d{1,18})\s*([smhdw])", text.strip(), re.ASCII)
    if not match:
        raise ValueError(
            f"cannot read '{shortened(text)}' as a duration; write a number and a unit: 30s, 15m, 3h, 7d, 2w"
        )
    too_long = f"'{text}' is longer than any calendar; write 'all' for a window without limit"
    try:
        duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise ValueError(too_long) from None
    if duration > _LONGEST:
        raise ValueError(too_long)
    return duration


def _not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("must not be negative")
    return duration


def _not_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be more than 0s")
    return duration


def parse_moment(value: Any) -> Any:
    """Refuse numbers as dates, which pydantic would take for seconds since 1970; all else goes on to pydantic.

    Raises:
        ValueError: The value is a number, or text that is nothing but one.
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a date or moment, such as 2013-09-01, not {str(value).lower()}")
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        digits = str(value).strip()
        likely = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", digits)
        instead = "-".join(likely.groups()) if likely else "2013-09-01 or 2013-09-01T12:00"
        raise ValueError(f"{shortened(digits)} is a number and would mean seconds since 1970; write a date: {instead}")
    return value


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that :func:`parse_duration` reads back.

    >>> format_duration(timedelta(hours=72)), format_duration(timedelta(minutes=90))
    ('3d', '90m')
    """
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_not_negative),
    PlainSerializer(format_duration, return_type=str),
]
"""A length of time, written ``30s``, ``15m``, ``3h``, ``7d`` or ``2w``; it may be zero, ``0s``."""

PositiveDuration = Annotated[Duration, AfterValidator(_not_zero)]
"""A length of time that is not zero."""

Moment = Annotated[datetime | date, BeforeValidator(parse_moment)]
"""A day or a moment, written ``2013-09-01`` or ``2013-09-01T12:00``."""

Sql = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""An expression in DuckDB's SQL. Configuration is trusted like code: it is run, not escaped."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A name the user chooses, for a table, a view, a feature or a component."""


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in plain values, names of keys too.

    >>> list(texts_in({"a": [1, "b"]}))
    ['a', 'b']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from texts_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one)
