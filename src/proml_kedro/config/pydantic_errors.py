"""Pydantic's errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proml_kedro.errors import did_you_mean

Error = Mapping[str, Any]

_KINDS = {
    "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "a number": ("float_type", "float_parsing", "finite_number"),
    "true or false": ("bool_type", "bool_parsing"),
    "text": ("string_type",),
    "a list": ("list_type", "tuple_type"),
    "keys and values": ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
    "a date or moment, such as 2013-09-01 or 2013-09-01T12:00": (
        "date_type",
        "date_parsing",
        "date_from_datetime_parsing",
        "date_from_datetime_inexact",
        "datetime_type",
        "datetime_parsing",
        "datetime_from_date_parsing",
        "datetime_object_invalid",
    ),
    "a duration, such as 30s, 15m, 3h, 7d or 2w": ("time_delta_type", "time_delta_parsing"),
}
_KIND_OF = {error: kind for kind, errors in _KINDS.items() for error in errors}

MISFITS = frozenset({*_KIND_OF, "literal_error"})
"""Errors that say that a value is of another type than a member of a union expects."""

_BOUNDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "string_too_short": lambda context: "must not be empty",
    "too_short": lambda context: "must not be empty" if context["min_length"] == 1 else _at_least(context),
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
}

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


def in_words(errors: Sequence[Error]) -> str:
    """Write one message for all errors about one value, from the members of a union or from the only type.

    Args:
        errors: Entries of pydantic's list of errors, all about the same value.
    """
    others = [one for one in errors if one["type"] not in MISFITS]
    if others:
        return "; ".join(dict.fromkeys(_one(error) for error in others))
    wanted = list(dict.fromkeys(_wanted(error) for error in errors))
    given = errors[0]["input"]
    allowed = [value for error in errors for value in _allowed(error)]
    if isinstance(given, bool) and "text" in wanted:
        words = "on, yes and true" if given else "off, no and false"
        return f"must be {' or '.join(wanted)}, not {_shown(given)}; YAML takes {words} for that without quotes"
    hint = did_you_mean(given, allowed) if isinstance(given, str) else ""
    return f"must be {' or '.join(wanted)}, not {_shown(given)}" + (f".{hint}" if "Did you mean" in hint else "")


def _one(error: Error) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    if kind in _BOUNDS:
        return f"{_BOUNDS[kind](context)}{_given(error)}"
    if kind == "string_pattern_mismatch":
        if context["pattern"] == _NAME:
            return f"{_shown(error['input'])} is not a name: letters, digits and _, not beginning with a digit"
        return f"{_shown(error['input'])} does not match {context['pattern']}"
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub(r"^Input should be", "must be", message.replace("\n", " "))


def _given(error: Error) -> str:
    value = error["input"]
    return f", not {_shown(value)}" if isinstance(value, int | float) else ""


def _at_least(context: Mapping[str, Any]) -> str:
    return f"must have at least {context['min_length']} entries"


def _wanted(error: Error) -> str:
    if error["type"] == "literal_error":
        *most, last = (repr(value) for value in _allowed(error))
        return f"{', '.join(most)} or {last}" if most else last
    return _KIND_OF[error["type"]]


def _allowed(error: Error) -> list[str]:
    expected = str((error.get("ctx") or {}).get("expected", ""))
    return re.findall(r"'([^']*)'", expected) or [word for word in re.split(r", | or ", expected) if word]


def _shown(value: Any) -> str:
    """Shorten a value to fit a line; of lists and mappings only what they are."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
