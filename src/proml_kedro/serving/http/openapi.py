"""What the server offers, as OpenAPI and as a page that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from pydantic import TypeAdapter

from proml_kedro.bundle import Manifest
from proml_kedro.serving.guard import OPEN_PATHS
from proml_kedro.serving.http.decoder import Body
from proml_kedro.serving.schema import answer_fields
from proml_kedro.spec.dtype import Dtype

_SCHEMAS = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["problem"],
                "properties": {
                    "problem": {"type": "string"},
                    "row": {"type": "integer"},
                    "field": {"type": "string"},
                },
            },
        },
    },
}
_REFUSALS = {
    "400": "The body is no JSON, or its length is none",
    "401": "The token is missing or wrong",
    "403": "The server has no token, so nobody may",
    "404": "There is no such path",
    "405": "The path is not for this method",
    "409": "The bundle that is live cannot be served, so nothing is changed",
    "408": "The body took too long",
    "413": "The body is too large",
    "415": "The body is not said to be JSON",
    "422": "The body does not fit, or the store cannot know the features of that moment",
    "500": "A fault of the server",
    "503": "The online feature store cannot be read, or a place does not answer",
    "504": "There was no answer in time",
}
_OF_BODIES = tuple(one for one in _REFUSALS if one not in ("403", "409"))


def specification(manifest: Manifest, bodies: Mapping[str, Body], needs_token: bool) -> dict[str, Any]:
    """Describe the routes.

    Args:
        manifest: The bundle's.
        bodies: What each route that scores reads.
        needs_token: Whether clients have to send one.
    """
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for path, decoder in bodies.items():
        schema = decoder.json_schema(_SCHEMAS)
        schemas.update(schema.pop("$defs", {}))
        schemas[schema["title"]] = schema
        summary, words, answer = _BODIES[path]
        paths[path] = {
            "post": {
                "summary": summary,
                "requestBody": {"required": True, "content": _json(f"#/components/schemas/{schema['title']}")},
                "responses": {
                    "200": _answer(words, answer),
                    **_refusals(*_OF_BODIES),
                },
            }
        }
    answers = {
        "Scores": _scores(manifest),
        "Ranked": _ranked(manifest),
        "Features": _features(manifest),
        "Explanations": _EXPLANATIONS,
    }
    for name, one in answers.items():
        schemas[name] = {**one, "properties": {**one["properties"], "degraded": _DEGRADED}}
    for path, words in _READ.items():
        is_open = path in OPEN_PATHS
        refusals = _refusals("405", *([] if is_open else ["401"]), *(["503"] if path == "/readyz" else []))
        described = {"summary": words, "responses": {"200": {"description": words}, **refusals}}
        paths[path] = {"get": {**described, **({"security": []} if is_open else {})}}
    paths[RELOAD] = _RELOAD_ROUTE
    security = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if needs_token else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name,
            "version": manifest.version,
            "description": manifest.description or "A model's scores.",
        },
        "paths": paths,
        "components": {"schemas": schemas, **security},
        **({"security": [{"token": []}]} if needs_token else {}),
    }


_BODIES = {
    "/predict": ("Score rows of feature values", "Scores of the rows, in order", "Scores"),
    "/predict_online": ("Look features up by key, then score", "Scores of the rows, in order", "Scores"),
    "/rank": ("Look candidates up by key, score them, and put them in order", "Candidates, the best first", "Ranked"),
    "/explain": ("Divide scores among the features", "What each feature adds to the margin of a row", "Explanations"),
    "/features": ("Look features up by key", "Features of the rows, in order", "Features"),
}

RELOAD = "/admin/reload"

_READ = {
    "/metadata": "What is served: name, version, digest, schema, metrics",
    "/schema": "What a row consists of",
    "/openapi.json": "This description",
    "/": "This description for people",
    "/livez": "Whether the process answers",
    "/readyz": "Whether everything that the model needs is there",
    "/metrics": "Figures for Prometheus",
}


_JSON_TYPES: Mapping[Dtype, str] = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def _ranked(manifest: Manifest) -> dict[str, Any]:
    integer = {"type": "integer"}
    item = {
        "candidate": {**integer, "description": "its number in the request, from 0"},
        "place": {**integer, "description": "from 1"},
        "score": {"type": "number"},
        "missing": {**integer, "description": "how many of its features were null or unknown"},
        "expired": {**integer, "description": "how many of those were older than their view's TTL"},
        **{name: {"type": ["integer" if kind == "int" else "string", "null"]} for name, kind in _keys(manifest)},
    }
    items = {"type": "array", "items": {"type": "object", "properties": item, "required": [*item]}}
    return {
        "type": "object",
        "required": ["items", "model"],
        "properties": {"items": items, "model": {"type": "string"}},
    }


def _keys(manifest: Manifest) -> Iterable[tuple[str, str]]:
    return manifest.rows.entities.items()


def _features(manifest: Manifest) -> dict[str, Any]:
    looked_up = [one for one in manifest.rows.inputs if not one.request]
    values = {one.name: {"type": [_JSON_TYPES.get(one.dtype, "array"), "null"]} for one in looked_up}
    return {
        "type": "object",
        "required": ["features", "expired", "unknown"],
        "properties": {
            "features": {"type": "array", "items": {"type": "object", "properties": values, "required": [*values]}},
            "expired": {**_COUNTS, "description": "how many features of each row are older than their view's TTL"},
            "unknown": {**_COUNTS, "description": "how many are 0 since the store has nothing for the key"},
        },
    }


_EXPLANATIONS = {
    "type": "object",
    "required": ["explanations", "model"],
    "properties": {
        "explanations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["base", "contributions", "margin"],
                "properties": {
                    "base": {"type": "number", "description": "the margin of a row of which nothing is known"},
                    "contributions": {"type": "object", "additionalProperties": {"type": "number"}},
                    "margin": {"type": "number", "description": "base and contributions together"},
                },
            },
        },
        "model": {"type": "string"},
    },
}

_COUNTS = {"type": "array", "items": {"type": "integer"}}
_DEGRADED = {
    "type": "array",
    "items": {"type": "string"},
    "description": "places that did not answer, so that it is without what they would have said",
}


def _scores(manifest: Manifest) -> dict[str, Any]:
    fields = {name: TypeAdapter(kind).json_schema() for name, kind in answer_fields(manifest).items()}
    return {
        "type": "object",
        "required": [*fields, "missing", "model"],
        "properties": {
            **fields,
            "missing": {**_COUNTS, "description": "how many features of each row were null or unknown"},
            "expired": {**_COUNTS, "description": "how many of those were older than their view's TTL"},
            "model": {"type": "string"},
            "models": {
                "type": "array",
                "items": {"type": "string"},
                "description": "which model has scored each row, where a challenger answers for some",
            },
        },
    }


def _json(reference: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": reference}}}


def _answer(words: str, schema: str) -> dict[str, Any]:
    return {"description": words, "content": _json(f"#/components/schemas/{schema}")}


def _refusals(*statuses: str) -> dict[str, Any]:
    return {status: _answer(_REFUSALS[status], "Error") for status in statuses}


_RELOAD_ROUTE = {
    "post": {
        "summary": "Serve the bundle that is live now, without losing a request",
        "responses": {
            "200": {"description": "It is served"},
            **_refusals("400", "401", "403", "405", "408", "409", "413", "504"),
        },
    }
}


def page(described: Mapping[str, Any]) -> str:
    """Return the description as one page of HTML, without scripts and without anything from elsewhere."""
    info = described["info"]
    rows = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(one['summary'])}</td></tr>"
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    )
    style = (
        "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:50rem;padding:0 1rem}td{padding:.2rem 1rem .2rem 0}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])}</title><style>{style}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        f"<table>{rows}</table><p><a href=openapi.json>openapi.json</a> describes all of it for programs.</p></html>"
    )
