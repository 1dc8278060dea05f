"""Which file, and which line of it, or which override, a key of the composition came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from proml_kedro.config.overrides import Override

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Layer:
    """A file that takes part in a composition.

    Attributes:
        package: Where in the composition its content goes.
        file: The file.
        label: Its name for messages.
        root: Where in the file the content starts.
    """

    package: tuple[str, ...]
    file: Path
    label: str
    root: tuple[str, ...] = ()


class _Origin(NamedTuple):
    """How far a layer or an override spells out a key; the largest one is where the key is from.

    Attributes:
        depth: How many parts of the key it spells out.
        whole: Whether it is about the key or a parent of it.
        order: Its position; later ones win.
        where: What to call it.
        replaces: Whether nothing that was written below the key before it is left, as where it holds a list.
    """

    depth: int
    whole: bool
    order: int
    where: str
    replaces: bool


class Origins:
    """Where keys were written.

    Args:
        layers: The files in the order in which they were composed; later ones win.
        overrides: In their order; they win over files.
        main: Place of a key of which nobody wrote anything, not even a parent.
    """

    def __init__(self, layers: Sequence[Layer], overrides: Sequence[Override], main: str) -> None:
        self._main = main
        self._layers = list(layers)
        self._overrides = list(overrides)
        self._parsed: dict[Path, yaml.Node | None] = {}

    def where(self, key: str) -> str | None:
        """Find the place of a key, or of its nearest parent that somebody wrote; None for the empty key.

        Args:
            key: Dotted path, with positions in lists as numbers.
        """
        found = self._find(key)
        return found.where if found else (self._main if key else None)

    def written(self, key: str) -> str | None:
        """Find the place of a key that somebody wrote; None for one that nobody did."""
        found = self._find(key)
        return found.where if found and found.depth == len(key.split(".")) else None

    def _find(self, key: str) -> _Origin | None:
        if not key:
            return None
        path = tuple(key.split("."))
        found = [self._in_layer(order, layer, path) for order, layer in enumerate(self._layers)]
        found += [
            _in_override(len(self._layers) + order, override, path) for order, override in enumerate(self._overrides)
        ]
        left = [one for one in found if one]
        last = max((position for position, one in enumerate(left) if one.replaces), default=0)
        return max(left[last:], default=None)

    def _in_layer(self, order: int, layer: Layer, path: tuple[str, ...]) -> _Origin | None:
        if path[: len(layer.package)] != layer.package:
            return None
        rest = (*layer.root, *path[len(layer.package) :])
        depth, line, replaces = self._deepest(layer.file, rest)
        depth = len(layer.package) + max(0, depth - len(layer.root))
        return _Origin(depth, True, order, f"{layer.label}:{line}", replaces) if depth else None

    def _deepest(self, file: Path, path: tuple[str, ...]) -> tuple[int, int, bool]:
        """Count the parts of the path in the file; with the line of the last, and whether a list is on it."""
        if file not in self._parsed:
            self._parsed[file] = yaml.compose(file.read_text(encoding="utf-8"), Loader=_LOADER)
        node, depth, line, replaces = self._parsed[file], 0, 1, False
        for part in path:
            replaces = replaces or isinstance(node, yaml.SequenceNode)
            child = _child(node, part)
            if child is None:
                break
            mark, node = child
            depth, line = depth + 1, mark.start_mark.line + 1
        return depth, line, replaces


def _child(node: yaml.Node | None, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None


def _in_override(order: int, override: Override, path: tuple[str, ...]) -> _Origin | None:
    shared = 0
    for ours, theirs in zip(override.path, path, strict=False):
        if ours != theirs:
            break
        shared += 1
    if not shared:
        return None
    whole = shared == len(override.path)
    depth, replaces = _spelled(override.value, path[shared:]) if whole else (0, False)
    return _Origin(shared + depth, whole, order, override.where, replaces)


def _spelled(value: Any, path: tuple[str, ...]) -> tuple[int, bool]:
    """Count the parts of the path that exist in the value; with whether anything on it is no keys and values."""
    replaces = False
    for depth, part in enumerate(path):
        replaces = replaces or not isinstance(value, Mapping)
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return depth, replaces
    return len(path), replaces
