"""JSON Schema of every file of a configuration, for editors: keys, types, and their documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from proml_kedro.authoring.schema_kinds import schema_of_kinds
from proml_kedro.authoring.schema_types import COMMON, Schema, Schemas
from proml_kedro.config.catalog import CatalogSpec
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.run import RunSpec

FILE = "proml.schema.json"
"""The schema of all files; beside it lies one for each group, which points into it."""
_FREE = ("env", "experiment")
"""Groups whose files change any value."""
_DEFAULTS: Schema = {
    "description": "Files that this one is merged with, in order; _self_ stands for this one.",
    "type": "array",
    "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
}
_ANY_DATASET: Schema = {
    "description": "A dataset of Kedro, which tables are read from: source: catalog:NAME.",
    "type": "object",
    "properties": {"type": {"type": "string", "not": {"pattern": "^proml_kedro\\."}}},
    "required": ["type"],
}


def make_schema() -> dict[str, Any]:
    """Make the schema from the specs and from what is registered.

    Returns:
        JSON Schema, draft 7; that of a group's files is in its definition ``file.GROUP``, that of ``config.yaml`` in
        ``file.config``.
    """
    definitions: dict[str, Schema] = {}
    whole, part = (Schemas(one, definitions, schema_of_kinds) for one in (True, False))
    files = {f"file.{group}": _file(group, whole, part) for group in groups()}
    files["file.config"] = _everything(part)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of proml_kedro",
        "$ref": "#/definitions/file.config",
        "definitions": {**files, **COMMON, **dict(sorted(definitions.items()))},
    }


def groups() -> list[str]:
    """Return the groups of files that a configuration may have."""
    specs = [name for name in RunSpec.model_fields if _is_group(name)]
    return [*specs, "scoring", "catalog", *_FREE]


def _is_group(name: str) -> bool:
    kind = RunSpec.model_fields[name].annotation
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def _file(group: str, whole: Schemas, part: Schemas) -> Schema:
    if group in _FREE:
        return _everything(part)
    if group == "catalog":
        return {**part.keys(CatalogSpec, {"defaults": _DEFAULTS}), "additionalProperties": _ANY_DATASET}
    if group == "features":
        return _merged(_views(whole), _views(part))
    spec = next(_models(RunSpec.model_fields[group].annotation))
    more = {"defaults": _DEFAULTS}
    return _merged(whole.keys(spec, more), part.keys(spec, more))


def _merged(alone: Schema, with_others: Schema) -> Schema:
    return {"if": {"required": ["defaults"]}, "then": with_others, "else": alone}


def _models(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and hasattr(kind, "model_fields"):
        yield kind
    for one in get_args(kind):
        yield from _models(one)


def _views(schemas: Schemas) -> Schema:
    return {
        "description": FeaturesSpec.__doc__ or "",
        "type": "object",
        "properties": {"defaults": _DEFAULTS},
        "patternProperties": {"^(?!defaults$)[A-Za-z_][A-Za-z0-9_]*$": schemas.model(FeatureViewSpec)},
        "additionalProperties": False,
    }


def _everything(part: Schemas) -> Schema:
    catalog = {**part.keys(CatalogSpec), "additionalProperties": _ANY_DATASET}
    return part.keys(RunSpec, {"defaults": _DEFAULTS, "catalog": catalog})


def as_text(schema: dict[str, Any]) -> str:
    """Return a schema as the text of its file, each definition on a line of its own."""
    rest = {key: one for key, one in schema.items() if key != "definitions"}
    lines = [f"{_json(key)}: {_json(one)}" for key, one in rest.items()]
    if definitions := schema.get("definitions"):
        inner = ",\n".join(f"{_json(name)}: {_json(one)}" for name, one in definitions.items())
        lines.append(f'"definitions": {{\n{inner}\n}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_schemas(folder: Path) -> None:
    """Write the schema of all files into a folder, and beside it one for each group that points into it.

    Args:
        folder: The folder, which is made.
    """
    from proml_kedro.atomic import write_whole

    schema = make_schema()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, as_text(schema))
    for name in ("config", *groups()):
        write_whole(folder / f"{name}.json", as_text({"$ref": f"{FILE}#/definitions/file.{name}"}))


def named_by(group: str) -> str:
    """Return the comment by which an editor finds the schema of a file in ``conf/GROUP``; of ``config`` in ``conf``."""
    up = "../" if group == "config" else "../../"
    return f"# yaml-language-server: $schema={up}schema/{group}.json"
