"""The configuration as text, for `kedro config show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from proml_kedro.config.composition import NAMED
from proml_kedro.config.configuration import Configuration
from proml_kedro.errors import masked

_NAMES = frozenset(".".join((*path, "name")) for path in NAMED.values())


def as_yaml(loaded: Configuration, resolved: bool = False) -> str:
    """Write the configuration as YAML.

    Args:
        loaded: What was composed.
        resolved: Whether interpolations are resolved, and what nobody wrote has the specs' defaults.
    """
    return masked(yaml.safe_dump(_content(loaded, resolved), sort_keys=False, allow_unicode=True, width=100))


def with_origins(loaded: Configuration, resolved: bool = False) -> str:
    """Write a line for each value, with the place where it was written behind it; the text is still YAML."""
    lines = []
    for path, value in _leaves(_content(loaded, resolved)):
        place = _place(loaded, path)
        lines.append((f"{path}: {json.dumps(value, ensure_ascii=False, default=str)}", place))
    width = min(100, max(len(text) for text, _ in lines))
    return masked("".join(f"{text:<{width}}  # {place}\n" for text, place in lines))


def _place(loaded: Configuration, path: str) -> str:
    origins = loaded.composition.origins
    if path in _NAMES:  # the name of the file
        return origins.where(path) or "default"
    return origins.written(path) or "default"


def _content(loaded: Configuration, resolved: bool) -> dict[str, Any]:
    if not resolved:
        written = loaded.composition.written()
        return {str(name): value for name, value in written.items()} if isinstance(written, dict) else {}
    return {**loaded.run.model_dump(mode="json", by_alias=True), "catalog": loaded.values.get("catalog")}


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, node
