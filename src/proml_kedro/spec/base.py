"""What every part of the configuration is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

from proml_kedro.extensions import Registry

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Spec(BaseModel):
    """A checked piece of YAML: unknown keys are errors, and nothing changes it afterwards."""

    registries: ClassVar[Mapping[str, Registry[Any]]] = {}
    """Keys whose value is a name in a registry."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), validate_default=True)

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class that checks a piece of YAML: this one, unless its kind decides which subclass does."""
        return cls


def parse_duration(text: Any) -> Any:
    """Read ``15m``, ``3h``, ``7d`` into a timedelta; anything that is not text goes on to pydantic.

    Raises:
        ValueError: The text is not a whole number with one of the units s, m, h, d, w.
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip())
    if not match:
        raise ValueError(f"cannot read '{text}' as a duration; write a number and a unit: 30s, 15m, 3h, 7d, 2w")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise ValueError(f"'{text}' is longer than any calendar; write 'all' for a window without limit") from None


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


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
"""A length of time, written ``30s``, ``15m``, ``3h``, ``7d`` or ``2w``."""

Sql = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""An expression in DuckDB's SQL. Configuration is trusted like code: it is run, not escaped."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A name the user chooses, for a table, a view, a feature or a component."""


def texts_in(value: Any) -> Iterator[str]:
    """Every text in plain values, names of keys too.

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
