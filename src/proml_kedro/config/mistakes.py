"""From what pydantic and Hydra say to what a person needs to hear."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from proml_kedro.errors import Mistake, did_you_mean
from proml_kedro.registry import UnknownNameError, components
from proml_kedro.spec.model import ComponentSpec

_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "string_too_short": "must not be empty",
    "date_from_datetime_parsing": "must be a date such as 2024-03-01",
    "date_parsing": "must be a date such as 2024-03-01",
    "datetime_parsing": "must be a date such as 2024-03-01",
    "datetime_from_date_parsing": "must be a date such as 2024-03-01",
}


def read(error: ValidationError, config: Any, model: type[BaseModel], prefix: str = "") -> Iterator[Mistake]:
    """One mistake for each key that pydantic complains of.

    Args:
        error: Its complaints.
        config: What was validated.
        model: What it was validated against.
        prefix: Key of what was validated.
    """
    seen: set[str] = set()
    for item in error.errors(include_url=False):
        path = _keys(item["loc"], config) + (["kind"] if item["type"] == "kind" else [])
        key = ".".join(part for part in (prefix, *path) if part)
        if key not in seen:  # a value that fits no member of a union has one complaint for each
            seen.add(key)
            yield Mistake(key, _message(item, path, config, model))


def _message(item: Mapping[str, Any], path: Sequence[str], config: Any, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted({field for one in _models_at(model, path[:-1], config) for field in one.model_fields})
        return f"unknown key.{did_you_mean(path[-1], known)}"
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        return f"cannot be {item['input']!r}.{did_you_mean(str(item['input']), expected)}"
    if kind == "string_pattern_mismatch":
        return f"{item['input']!r} is no name; use letters, digits and _, and begin with a letter"
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return str(item["msg"]).removeprefix("Value error, ").replace("\n", " ")


def _keys(location: Sequence[Any], config: Any) -> list[str]:
    """The keys in a place that pydantic names: without the marks it adds for members of unions and for dict keys."""
    path: list[str] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if _holds(config, part):
            config = config[part]
            path.append(str(part))
        elif is_last and isinstance(config, Mapping) and part != "[key]":  # a key that is missing
            path.append(str(part))
    return path


def _holds(config: Any, part: Any) -> bool:
    return (isinstance(config, Mapping) and part in config) or (
        isinstance(config, list) and isinstance(part, int) and part < len(config)
    )


def _models_at(model: Any, path: Sequence[str], config: Any) -> list[type[BaseModel]]:
    """The models that can stand at a place; several in a union."""
    options = list(_models_in(model, config))
    for part in path:
        config = config[int(part)] if isinstance(config, list) else config.get(part, {})
        options = [one for option in options for one in _step(option, part, config)]
    return [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]


def _step(option: Any, part: str, config: Any) -> Iterator[Any]:
    if isinstance(option, type) and issubclass(option, BaseModel):
        if part in option.model_fields:
            yield from _models_in(option.model_fields[part].annotation, config)
    elif get_args(option):  # dict[str, X] or list[X]
        yield from _models_in(get_args(option)[-1], config)


def _models_in(annotation: Any, config: Any) -> Iterator[Any]:
    """The models, lists and dicts that a type hint allows for a value."""
    if get_origin(annotation) is Annotated:
        yield from _models_in(get_args(annotation)[0], config)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _models_in(member, config)
    elif isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _models_in(annotation.model_fields["root"].annotation, config)
    elif annotation is ComponentSpec and isinstance(config, Mapping):
        try:
            yield components.get(str(config.get("kind"))).Spec
        except UnknownNameError:
            return
    else:
        yield annotation
