"""What a request to a running service may not override.

A configuration is trusted like code: its SQL is run, its modules are imported, its files are read. The parameters
of a request are not, so they may choose among files of ``conf`` and change plain values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proml_kedro.config.overrides import Override
from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.base import texts_in

_CODE = frozenset({"catalog", "hydra", "extensions", "data_dir", "resolved"})
_SQL = frozenset({"problem", "features"})


def refuse_from_requests(overrides: Sequence[Override]) -> list[Mistake]:
    """Find the overrides that could run code, or read or write files of the caller's choice; a mistake for each."""
    return [
        Mistake("", "not allowed in a request", override.where)
        for override in overrides
        if override.path[0] in _CODE
        or (override.path[0] in _SQL and (len(override.path) > 1 or isinstance(override.value, Mapping)))
        or override.path[-1] == "path"
        or override.package is not None
        or any("${" in text for text in texts_in(override.value))
    ]


def refuse_other_types(values: Mapping[str, Any], trusted: Mapping[str, Any]) -> None:
    """Check that a request has not led the catalog to other classes, through an interpolation or another file.

    Args:
        values: The configuration of the request.
        trusted: The configuration without its parameters.

    Raises:
        UserError: A class is another one.
    """
    ours, theirs = (dict(_types(one.get("catalog") or {}, "catalog")) for one in (trusted, values))
    if ours != theirs:
        changed = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        raise UserError(*(Mistake(key, "a request may not change this") for key in changed))


def _types(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    children: list[tuple[Any, Any]] = []
    if isinstance(node, Mapping):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    for name, child in children:
        if name == "type":
            yield f"{path}.type", str(child)
        else:
            yield from _types(child, f"{path}.{name}")
