"""Truth values where a number belongs: Python counts them as 1 and 0, and pydantic does too."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic_core import PydanticCustomError, PydanticKnownError


def refuse_truth_values(annotation: Any, value: Any) -> None:
    """Check that a value has no true or false where its type asks for a number and for no truth value.

    Args:
        annotation: The type of a field.
        value: What was written, before anything made a number of it.

    Raises:
        PydanticKnownError: The value itself is true or false, and a number is wanted.
        PydanticCustomError: An entry of the list, or below a key, is.
    """
    if isinstance(value, bool):
        if wanted := _number_in(annotation):
            raise PydanticKnownError(wanted)
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    wanted = _number_in(_inner(annotation, isinstance(value, dict)))
    for key, one in entries if wanted else ():
        if isinstance(one, bool):
            words = {"kind": "a whole number" if wanted == "int_type" else "a number", "value": str(one).lower()}
            raise PydanticCustomError("truth_value", "{key}: must be {kind}, not {value}", {**words, "key": str(key)})


@cache
def _number_in(annotation: Any) -> Any:
    """Name pydantic's error for what is no number, where a type wants one; None where true or false may stand too."""
    kinds = set(_alternatives(annotation))
    if bool in kinds or not kinds & {int, float}:
        return None
    return "float_type" if float in kinds else "int_type"


@cache
def _inner(annotation: Any, is_mapping: bool) -> Any:
    """Return the type of a list's entries, or of a mapping's values; None when there is no such alternative."""
    container = dict if is_mapping else list
    return next((get_args(one)[-1] for one in _alternatives(annotation) if get_origin(one) is container), None)


def _alternatives(annotation: Any) -> list[Any]:
    """Unwrap notes and unions into plain types."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [one for member in get_args(annotation) for one in _alternatives(member)]
    return [annotation]
