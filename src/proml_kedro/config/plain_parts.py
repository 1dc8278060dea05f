"""Large parts of files that are nothing but values: kept out of OmegaConf, which makes five objects of each value.

A thousand features in a file are a mapping with a thousand keys, without interpolations, and no other file or override
says anything about it. Such a mapping goes through Hydra as one word, and is put back when the values are plain. That
nothing else speaks of it is proved for each composition; where it cannot be, the files are composed whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Place = tuple[str, ...]

LEAST_KEYS = 200
"""Keys of a mapping that is taken out; of fewer it is not worth it."""

_GROUPS = ("features", "problem")
"""Keys at the top below which mappings are taken out: the loader itself reads and names what is in others."""

_MARK = "\x00plain part "
"""What the word for a mapping begins with; no YAML file can hold it."""

_INTERPOLATION = re.compile(r"\$\{(?:oc\.env:[^${}]*|([A-Za-z_]\w*(?:\.\w+)*))\}")
"""An interpolation whose target is known without resolving it: its dotted name, or a variable of the environment."""


@dataclass(frozen=True)
class PlainPart:
    """A mapping that was taken out of a file.

    Attributes:
        path: Where in the file it was.
        word: What stands there instead.
        values: The mapping.
    """

    path: Place
    word: str
    values: Mapping[str, Any]


def take_out(content: Any) -> tuple[Any, list[PlainPart]]:
    """Return a file's content with a word in place of each large mapping that is nothing but values; and those."""
    parts: list[PlainPart] = []
    if not isinstance(content, dict):
        return content, parts
    return {key: _without(value, (key,), parts) for key, value in content.items()}, parts


def _without(value: Any, path: Place, parts: list[PlainPart]) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) >= LEAST_KEYS and all(type(name) is str for name in path) and _is_plain(value):
        parts.append(PlainPart(path, f"{_MARK}{len(parts)}", value))
        return parts[-1].word
    return {key: _without(one, (*path, key), parts) for key, one in value.items()}


def _is_plain(value: Any) -> bool:
    """Return whether OmegaConf would give back the value as it is."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "${" not in value and value != "???"
    return value is None or isinstance(value, bool | int | float)


def are_alone(
    parts: Mapping[Place, PlainPart],
    layers: Sequence[tuple[Place, Any]],
    values: Any,
    edits: Sequence[tuple[Place, Any]],
) -> bool:
    """Return whether parts can be put back at their places as if they had never been taken out.

    Args:
        parts: Those of all files, by their place in the composition.
        layers: Package and content of each file, in which words stand for mappings.
        values: What was composed of them, as plain values with interpolations as they were written.
        edits: Place and new value of each override.
    """
    targets = list(_targets(values)) + [target for _, value in edits for target in _targets(value)]
    return all(
        len(place) > 1
        and place[0] in _GROUPS
        and _at(values, place) == part.word
        and sum(_speaks(package, content, place) for package, content in layers) == 1
        and not any(_meet(edit, place) for edit, _ in edits)
        and not any(target is None or _meet(target, place) for target in targets)
        for place, part in parts.items()
    )


def put_back(values: Any, parts: Mapping[Place, PlainPart]) -> None:
    """Put parts back into plain values, in place; each time as new objects."""
    for place, part in parts.items():
        parent = values
        for name in place[:-1]:
            parent = parent.get(name) if isinstance(parent, dict) else None
        if isinstance(parent, dict) and place[-1] in parent:
            parent[place[-1]] = _copied(part.values)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _speaks(package: Place, content: Any, place: Place) -> bool:
    """Return whether a file says anything of a place: of what is there, or that something else is above it."""
    if not _meet(package, place):
        return False
    return len(package) > len(place) or _reaches(content, place[len(package) :])


def _reaches(content: Any, rest: Place) -> bool:
    for name in rest:
        if not isinstance(content, Mapping):
            return True
        if name not in content:
            return False
        content = content[name]
    return True


def _at(values: Any, place: Place) -> Any:
    for name in place:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _meet(one: Place, other: Place) -> bool:
    """Return whether one place is the other, or above or below it."""
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


def _targets(value: Any) -> Iterator[Place | None]:
    """Find what interpolations refer to; None for those of which only resolving would tell."""
    if isinstance(value, str) and "${" in value:
        rest = _INTERPOLATION.sub("", value)
        yield from (tuple(one.split(".")) for one in _INTERPOLATION.findall(value) if one)
        if "${" in rest:
            yield None
    for child in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _targets(child)
