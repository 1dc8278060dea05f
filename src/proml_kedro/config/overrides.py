"""Nested runtime parameters, as Hydra writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString


def as_overrides(params: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """An override for each leaf, for example ``model='deep'`` or ``features.rows=3``."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from as_overrides(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_literal(value)}"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case Mapping():
            return "{" + ",".join(f"{_literal(str(key))}:{_literal(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_literal, value)) + "]"
        case _:
            return str(QuotedString(str(value), Quote.single).with_quotes())
