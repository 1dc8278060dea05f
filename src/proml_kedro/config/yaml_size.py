"""How much a YAML file holds once its aliases are written out: a few lines can stand for billions of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from proml_kedro.errors import Mistake

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MOST_BYTES = 16 << 20
_MOST_VALUES = 50_000
"""Values that aliases may make of a file that writes fewer itself; Hydra copies every one of them several times."""

_ANCHOR = re.compile(rb"(?:^|[\s\[{,:-])&[^\s,\[\]{}]")


def check_size(file: Path, label: str) -> Iterator[Mistake]:
    """Find out whether a file is larger than any configuration, by itself or once its aliases are written out.

    A file that cannot be read, or is not YAML, is left to whoever composes it.

    Args:
        file: The file.
        label: Its name for messages.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            yield Mistake("", f"is larger than {_MOST_BYTES >> 20} MB; a configuration has a few KB", f"{label}:1")
            return
        content = file.read_bytes()
        anchor = _ANCHOR.search(content)
        root = yaml.compose(content, Loader=_LOADER) if anchor else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError):
        return
    if anchor is None or root is None:
        return
    line = content.count(b"\n", 0, anchor.start() + 1) + 1
    where = f"{label}:{line}"
    written, expanded = _count(root)
    if expanded is None:
        yield Mistake("", "an alias holds itself: `&name` around `*name`", where)
    elif expanded > max(_MOST_VALUES, 10 * written):
        yield Mistake("", f"aliases make more than {_MOST_VALUES:,} values of the {written:,} that are written", where)


def _count(root: yaml.Node) -> tuple[int, int | None]:
    """Count the nodes that are written, and those there are with aliases written out; None when they have no end."""
    sizes: dict[int, int] = {}
    entered = {id(root)}
    path: list[tuple[yaml.Node, Iterator[yaml.Node]]] = [(root, _children(root))]
    found = [1]
    while path:
        node, children = path[-1]
        child = next(children, None)
        if child is None:
            path.pop()
            entered.discard(id(node))
            sizes[id(node)] = found.pop()
            if found:
                found[-1] += sizes[id(node)]
        elif id(child) in entered:
            return len(sizes), None
        elif id(child) in sizes:
            found[-1] += sizes[id(child)]
        else:
            entered.add(id(child))
            path.append((child, _children(child)))
            found.append(1)
    return len(sizes), sizes[id(root)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
