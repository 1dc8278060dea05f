"""JSON Schema of mappings that a registry's entries check: which entry it is, and then its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proml_kedro.authoring.schema_types import Schema, Schemas
from proml_kedro.extensions import Entries, blocks, splits, table_readers
from proml_kedro.spec.table import TableSpec


def schema_of_kinds(schemas: Schemas, entries: Entries) -> Schema:
    """Return the schema of a mapping that an entry of a registry checks.

    Args:
        schemas: Where definitions of the entries go.
        entries: The registry, and the key that names an entry.
    """
    names = entries.registry.names()
    specs = {name: schemas.model(entries.spec_of(entries.registry.get(name))) for name in names}
    if not schemas.whole:
        base = [schemas.model(TableSpec)] if entries.registry is table_readers else []
        return {"anyOf": [*specs.values(), *base, *(one for _, one in _nested(schemas, entries))]}
    chosen = [(_is(entries.key, name), specs[name]) for name in names]
    if entries.registry is table_readers:
        chosen += [(_by_source(name), specs[name]) for name in names]
    elif entries.registry is blocks:
        chosen.insert(0, ({"required": ["layer"]}, specs["layer"]))
    elif entries.registry is splits:
        chosen += _nested(schemas, entries)
    return _chain(chosen, _otherwise(schemas, entries))


def _is(key: str, name: str) -> Schema:
    return {"properties": {key: {"const": name}}, "required": [key]}


def _chain(chosen: list[tuple[Schema, Schema]], otherwise: Schema) -> Schema:
    schema = otherwise
    for condition, then in reversed(chosen):
        schema = {"if": condition, "then": then, "else": schema}
    return schema


def _otherwise(schemas: Schemas, entries: Entries) -> Schema:
    """The schema of a mapping that names no entry, or one that is none."""
    key, names = entries.key, entries.registry.names()
    if entries.registry is table_readers:
        return schemas.model(TableSpec)
    interpolated = {"$ref": "#/definitions/interpolated"}
    known: Schema = {"type": "object", "properties": {key: {"anyOf": [{"enum": names}, interpolated]}}}
    if entries.default is None:
        return {**known, "required": [key]}
    default = schemas.model(entries.spec_of(entries.registry.get(entries.default)))
    return {"if": {"required": [key]}, "then": known, "else": default}


def _by_source(name: str) -> Schema:
    """The condition for a table that names no reader to be read by one, by its source."""
    reader = table_readers.get(name)
    ends = "|".join("".join(map(_any_case, end)) for end in reader.suffixes)
    pattern = f"({ends})$" if ends else "^postgres(ql)?://" if name == "postgresql" else "^$"
    return {
        "not": {"required": ["reader"]},
        "properties": {"source": {"type": "string", "pattern": pattern}},
        "required": ["source"],
    }


def _any_case(letter: str) -> str:
    return f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter)


def _nested(schemas: Schemas, entries: Entries) -> Iterator[tuple[Schema, Schema]]:
    """Yield splits whose keys stand inside of ``by``: `by: {entity: user_id, last: 20%}`."""
    if entries.registry is not splits:
        return
    model = splits.get("entity")
    own = schemas.keys(model)
    inside = {**own, "properties": {name: one for name, one in own["properties"].items() if name != "by"}}
    inside.pop("required", None)
    inside["minProperties"] = 1
    outside = {**own, "properties": {**own["properties"], "by": inside}}
    outside.pop("required", None)
    yield {"properties": {"by": {"type": "object"}}, "required": ["by"]}, outside
