"""Write the reference of the configuration from the specs themselves, so that it cannot go out of date.

python docs/reference/generate.py > docs/reference/configuration.md
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from proml_kedro.extensions import components
from proml_kedro.models.deep.blocks import blocks
from proml_kedro.models.deep.heads import heads
from proml_kedro.spec import RunSpec
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.model import spec_of

_BASIC = {str: "text", int: "whole number", float: "number", bool: "true or false", timedelta: "duration"}


def main() -> None:
    """Print the reference."""
    print("# Configuration\n")
    print("Every key that a file of `conf/` may hold. Made from the specs by `docs/reference/generate.py`.\n")
    print("Durations are written `30s`, `15m`, `3h`, `7d`, `2w`. Expressions and filters are DuckDB SQL.\n")
    shown: set[type[BaseModel]] = set()
    print("\n".join(section("conf/config.yaml", RunSpec, shown)))
    for name in components.names():
        print("\n".join(section(f"kind: {name}", spec_of(name), shown)))
    for name in blocks.names():
        print("\n".join(section(f"block: {name}", blocks.get(name), shown)))
    for name in heads.names():
        print("\n".join(section(f"loss: {name}", heads.get(name), shown)))


def section(title: str, model: type[BaseModel], shown: set[type[BaseModel]]) -> Iterator[str]:
    """A model's keys as a table, and after it those of the models it is made of."""
    if model in shown:
        return
    shown.add(model)
    if issubclass(model, RootModel):
        yield from section(f"{title}, each view", FeatureViewSpec, shown)
        return
    yield f"## {title}\n\n{summary(model)}\n\n| key | value | default | |\n|---|---|---|---|"
    meanings = attributes(model)
    nested: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield f"| `{key}` | {hint(field.annotation)} | {default(field)} | {meanings.get(key, '')} |"
        nested += [(name, one) for one in models(field.annotation)]
    yield ""
    for name, one in nested:
        place = f"conf/{name}/*.yaml" if model is RunSpec else f"{title.partition(', ')[0]}, {name}"
        yield from section(place, one, shown)


def summary(model: type[BaseModel]) -> str:
    """What stands in a docstring before its sections."""
    text = inspect.getdoc(model) or ""
    return re.split(r"\n\n?(?:Attributes|Args):", text)[0].replace("``", "`")


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of each attribute."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        text = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2]
        for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
            found[name] = re.sub(r"\s+", " ", words).replace("``", "`").replace("|", "\\|")
    return found


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type hint."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield FeatureViewSpec if annotation is FeaturesSpec else annotation
    for one in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from models(one)


def hint(annotation: Any) -> str:
    """A type hint in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return hint(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(hint(one) for one in arguments if one is not type(None)))
    if origin is list:
        return f"list of: {hint(arguments[0])}"
    if origin is dict:
        return f"names to: {hint(arguments[1])}"
    return _BASIC.get(annotation, "keys below" if list(models(annotation)) else annotation.__name__)


def default(field: FieldInfo) -> str:
    """A field's default as it would be written."""
    value = field.default
    if field.is_required():
        return "*required*"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if value is None or value == "" or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    main()
