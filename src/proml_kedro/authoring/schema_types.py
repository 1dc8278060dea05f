"""JSON Schema of the types that keys of the configuration have."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Discriminator, RootModel
from pydantic.fields import FieldInfo

from proml_kedro.authoring.descriptions import described, summary
from proml_kedro.extensions import Entries, NameIn, Registry
from proml_kedro.spec.base import Spec

Schema = dict[str, Any]

INTERPOLATED: Schema = {"$ref": "#/definitions/interpolated"}
COMMON: Mapping[str, Schema] = {
    "interpolated": {"type": "string", "pattern": r"\$\{", "description": "A value that another one gives, ${seed}."}
}
"""Definitions that others refer to."""
_NUMERAL = r"^\s*[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_DAY = r"^\s*\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]\d.*)?\s*$"
_TRUTH = ["true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0", 1, 0]

BASIC: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\s*[+-]?\d[\d_]*(\.0*)?\s*$"}]},
    float: {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _NUMERAL}]},
    bool: {"anyOf": [{"type": "boolean"}, {"enum": _TRUTH}]},
    timedelta: {"anyOf": [{"type": "string", "pattern": r"^\s*\d{1,18}\s*[smhdw]\s*$"}, {"const": 0}]},
    datetime: {"type": "string", "pattern": _DAY},
    date: {"type": "string", "pattern": _DAY},
    type(None): {"type": "null"},
    Any: {},
}
"""Types as YAML has them, in the forms that are read: a number may stand in quotes."""

ALSO: Mapping[str, Schema] = {
    "_as_list": {"type": "string"},
    "_class_name": {"type": "integer"},
    "_threads": {"const": "auto"},
    "_memory": {},
    "_parse_share": {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
    "parse_duration": {},
    "parse_moment": {},
}
"""What functions that look at a value before its type is checked take besides, by their names."""

FIELDS: Mapping[tuple[str, str], Schema] = {
    ("FeatureViewSpec", "key"): {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    ("RandomEffectSpec", "entity"): {"type": "string"},
}
"""What keys take besides, where a validator of their model sees to it."""

OPTIONAL = {("ProblemSpec", "name"), ("ModelSpec", "name"), ("WindowFeature", "windows"), ("FactorsSpec", "kind")}
"""Required fields that a file may lack: the file's name, or another key, says what they are."""

_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


@dataclass
class Schemas:
    """Definitions of all models that were asked for.

    Attributes:
        whole: Whether keys that are needed are required, and what a kind has is decided by it; not so for files that
            are merged with others.
        definitions: Schema of each model, by name.
        kinds_of: Makes the schema of a mapping that an entry of a registry checks.
    """

    whole: bool
    definitions: dict[str, Schema]
    kinds_of: Callable[[Schemas, Entries], Schema]

    def of(self, kind: Any, notes: Sequence[Any] = ()) -> Schema:
        """Return the schema of a type.

        Args:
            kind: The type.
            notes: Its annotations.
        """
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(arguments[0], [*arguments[1:], *notes])
        for note in notes:
            if isinstance(note, Entries):
                return self.kinds(note)
            if isinstance(note, Discriminator):
                return self._discriminated(arguments)
        schema = _also(self._plain(kind, origin, arguments), notes)
        return _interpolated(_bounded(schema, notes))

    def _plain(self, kind: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(one) for one in arguments]}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1]), **_named(arguments[0])}
        if isinstance(kind, type) and issubclass(kind, RootModel):
            root = kind.model_fields["root"]
            return self.of(root.annotation, root.metadata)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.model(kind)
        return dict(BASIC[kind])

    def model(self, model: type[BaseModel]) -> Schema:
        """Return a reference to a model, which is defined once."""
        name = f"{model.__module__.removeprefix('proml_kedro.')}.{model.__qualname__}{'' if self.whole else '-part'}"
        if name not in self.definitions:
            self.definitions[name] = {}  # models may hold themselves
            self.definitions[name] = self.keys(model)
        return {"$ref": f"#/definitions/{name}"}

    def keys(self, model: type[BaseModel], more: Mapping[str, Schema] | None = None) -> Schema:
        """Return the schema of a mapping with a model's keys.

        Args:
            model: The model.
            more: Further keys.
        """
        meanings = described(model)
        fields = model.model_fields
        properties = {one.alias or name: self._key(model, name, one, meanings) for name, one in fields.items()}
        schema: Schema = {"type": "object", "properties": {**properties, **(more or {})}, "additionalProperties": False}
        if text := summary(model):
            schema["description"] = text
        needed = [one.alias or name for name, one in fields.items() if _is_needed(model, name, one)]
        return {**schema, "required": needed} if needed and self.whole else schema

    def _key(self, model: type[BaseModel], name: str, one: FieldInfo, meanings: Mapping[str, str]) -> Schema:
        registry = model.registries.get(name) if issubclass(model, Spec) else None
        schema = self.of(one.annotation, one.metadata)
        if registry is not None:
            schema = _interpolated({"enum": registry.names()}, nothing=not one.is_required())
        for base in model.__mro__:
            if other := FIELDS.get((base.__name__, name)):
                schema = {"anyOf": [schema, other]}
        text = meanings.get(one.alias or name) or meanings.get(name)
        return {**schema, "description": text} if text and "$ref" not in schema else _with_text(schema, text)

    def kinds(self, entries: Entries) -> Schema:
        """Return a reference to the schema of a mapping that an entry of a registry checks, which is defined once."""
        name = f"kinds.{entries.registry.sort.replace(' ', '-')}{'' if self.whole else '-part'}"
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self.kinds_of(self, entries)
        return {"$ref": f"#/definitions/{name}"}

    def _discriminated(self, members: tuple[Any, ...]) -> Schema:
        """Return the schema of a feature: a window where it has an aggregate, otherwise a column."""
        column, window = (self.of(one) for one in members)
        if not self.whole:
            return {"anyOf": [column, window]}
        return {"if": {"required": ["agg"]}, "then": window, "else": column}


def _with_text(schema: Schema, text: str | None) -> Schema:
    return {"allOf": [schema], "description": text} if text else schema


def _is_needed(model: type[BaseModel], name: str, one: FieldInfo) -> bool:
    return one.is_required() and not any((base.__name__, name) in OPTIONAL for base in model.__mro__)


def _named(kind: Any) -> Schema:
    pattern = next((one.pattern for one in get_args(kind)[1:] if getattr(one, "pattern", None)), None)
    return {"propertyNames": {"pattern": pattern}} if pattern else {}


def _interpolated(schema: Schema, nothing: bool = False) -> Schema:
    if not schema:
        return schema
    members = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    null: list[Schema] = [{"type": "null"}] if nothing else []
    return {"anyOf": [*members, *null, *([] if INTERPOLATED in members else [INTERPOLATED])]}


def _also(schema: Schema, notes: Sequence[Any]) -> Schema:
    for note in notes:
        if isinstance(note, NameIn):
            schema = _one_of(note.registry)
        elif isinstance(note, BeforeValidator) and (other := ALSO[_name_of(note.func)]):
            schema = {"anyOf": [schema, other]}
    return schema


def _one_of(registry: Registry[Any]) -> Schema:
    """Return the schema of a name in a registry; one of a level has that behind it, as ``pinball@0.9``."""
    levels = [name for name in registry.names() if getattr(registry.get(name), "takes_level", False)]
    plain: Schema = {"enum": [name for name in registry.names() if name not in levels]}
    patterns = [{"type": "string", "pattern": rf"^{name}@0?\.\d{{1,6}}$"} for name in levels]
    return {"anyOf": [plain, *patterns]} if levels else plain


def _name_of(function: Callable[..., Any]) -> str:
    return function.__name__


def _bounded(schema: Schema, notes: Sequence[Any]) -> Schema:
    """Return a schema with the bounds that annotations set."""
    bounds = dict(_bounds(schema, notes))
    return {"allOf": [schema, bounds]} if bounds else schema


def _bounds(schema: Schema, notes: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    is_list = schema.get("type") == "array" or any(one.get("type") == "array" for one in schema.get("anyOf", ()))
    is_mapping = schema.get("type") == "object"
    size = "Items" if is_list else "Properties" if is_mapping else "Length"
    for note in (inner for one in notes for inner in (getattr(one, "metadata", None) or [one])):
        for name, key in _BOUNDS.items():
            bound = getattr(note, name, None)
            if bound is not None and not isinstance(bound, timedelta):
                yield key, bound
        for name, key in (("min_length", f"min{size}"), ("max_length", f"max{size}")):
            if (bound := getattr(note, name, None)) is not None:
                yield key, bound
        if pattern := getattr(note, "pattern", None):
            yield "pattern", pattern
