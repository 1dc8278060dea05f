"""How often interpolations lead to others: a few that each name two further ones stand for billions of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MOST_VALUES = 50_000
"""Values that interpolations may make of a configuration with fewer: each is computed anew where it is needed."""

_REFERENCES_WEIGHT = 10
"""Values that take as long as resolving one interpolation, which takes a millisecond."""

_REFERENCE = re.compile(r"(\.*)([A-Za-z_]\w*(?:\.\w+)*)")

Place = tuple[str, ...]


def check_expansion(config: DictConfig) -> list[Mistake]:
    """Find the interpolation that would be resolved into more values than any configuration has.

    Args:
        config: The composed values, interpolations not yet resolved.

    Returns:
        At most one mistake. What refers to itself is not counted: resolving finds it.
    """
    from omegaconf import OmegaConf

    count = _Count(OmegaConf.to_container(config, resolve=False))
    if not count.interpolations:
        return []
    try:
        if count.of(()) <= max(_MOST_VALUES, 10 * len(count.values)):
            return []
        worst = max(count.interpolations, key=count.of)
    except RecursionError:
        return [Mistake("", "interpolations lead to each other in a chain that is too long", "configuration")]
    return [Mistake(".".join(worst), f"interpolations lead to each other more than {_MOST_VALUES:,} times")]


class _Count:
    """How many values there are at each place, once all that a place refers to is written out."""

    def __init__(self, content: Any) -> None:
        self.values = dict(_all_values(content, ()))
        self.interpolations = [place for place, one in self.values.items() if isinstance(one, str) and "${" in one]
        self._known: dict[Place, int] = {}

    def of(self, place: Place) -> int:
        """Count the values at a place; 1 while they are being counted."""
        if place not in self._known:
            self._known[place] = 1
            weight = _REFERENCES_WEIGHT if isinstance(self.values[place], str) else 0
            self._known[place] = 1 + sum(weight + self.of(one) for one in self._below(place))
        return self._known[place]

    def _below(self, place: Place) -> Iterator[Place]:
        value = self.values[place]
        if isinstance(value, str):
            for dots, name in _REFERENCE.findall(_inside(value)):
                start = place[: max(0, len(place) - len(dots))] if dots else ()
                if (target := (*start, *name.split("."))) in self.values:
                    yield target
        else:
            yield from ((*place, name) for name, _ in _children(value))


def _inside(text: str) -> str:
    """Return what stands between the braces of a text's interpolations."""
    depth, inside = 0, []
    for part in re.split(r"(\$\{|\})", text) if "${" in text else ():
        depth = max(0, depth + {"${": 1, "}": -1}.get(part, 0))
        inside += [part] if depth else []
    return " ".join(inside)


def _all_values(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    yield place, value
    for name, child in _children(value):
        yield from _all_values(child, (*place, name))


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), one) for name, one in value.items())
    elif isinstance(value, list):
        yield from ((str(number), one) for number, one in enumerate(value))
