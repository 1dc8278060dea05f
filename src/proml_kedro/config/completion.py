"""Shell completion of overrides: groups and their files, keys and the values they may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from proml_kedro.config.composition import compose
from proml_kedro.config.folders import Folders
from proml_kedro.config.overrides import parse
from proml_kedro.config.spec_paths import choices_at, known_keys
from proml_kedro.errors import UserError


def complete(conf: Path, word: str, before: Sequence[str] = ()) -> list[str]:
    """List the words that may stand in place of a word that is being typed.

    Args:
        conf: The ``conf`` folder.
        word: What is there of it. Bash breaks words at ``=``, so it may be the part behind that only; then so are the
            words returned.
        before: The overrides before it, in bash also broken at ``=``.
    """
    *words, glued = _glue(before, word)
    value_only = glued != word
    found = _candidates(conf, glued, words)
    return [one.partition("=")[2] for one in found] if value_only else found


def _glue(before: Sequence[str], word: str) -> list[str]:
    """Put overrides together as they were typed: a part without ``=`` belongs to what follows it."""
    glued: list[str] = []
    for part in (*before, word):
        if glued and (glued[-1].endswith("=") or part == "="):
            glued[-1] += part
        elif glued and "=" not in glued[-1] and not glued[-1].startswith("~"):
            glued[-1] += f"={part}"  # Click drops a lone "=" just before the cursor
        else:
            glued.append(part)
    return glued


def _candidates(conf: Path, word: str, before: Sequence[str]) -> list[str]:
    folders = Folders.of(conf)
    mark = word[: len(word) - len(word.lstrip("+~"))]
    key, equals, start = word[len(mark) :].partition("=")
    values = _values(folders, before)
    found = sorted(set(_options(folders, key, values, start) if equals else _keys(folders, key, values)))
    while len(found) == 1 and not equals and found[0].endswith("."):
        found = sorted(set(_keys(folders, found[0], values)))
    if len(found) == 1 and found[0].endswith("=") and not equals:
        found = sorted(set(_options(folders, found[0][:-1], values, ""))) or found
    return [f"{mark}{one}" for one in found]


def _values(folders: Folders, before: Sequence[str]) -> Any:
    """Compose with the overrides typed so far; without them when they do not work yet."""
    from omegaconf import OmegaConf

    for words in (before, ()):
        overrides, _ = parse(words)
        try:
            return OmegaConf.to_container(compose(folders, overrides).config, resolve=False)
        except UserError:
            continue
    return {}


def _options(folders: Folders, key: str, values: Any, start: str) -> Iterator[str]:
    if key in folders.groups:
        options: Iterable[str] = folders.options(key)
    else:
        path = key.split(".")
        options = choices_at(path, values) or _present(path, values)
    yield from (f"{key}={one}" for one in options if one.startswith(start))


def _present(path: Sequence[str], values: Any) -> list[str]:
    value = _child(values, path)
    if value is None or isinstance(value, dict | list):
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _keys(folders: Folders, start: str, values: Any) -> Iterator[str]:
    """List keys one level below what is typed; those that hold others end in a dot."""
    parent, _, last = start.rpartition(".")
    path = parent.split(".") if parent else []
    node = _child(values, path)
    names = {*known_keys(path, values), *(node if isinstance(node, dict) else ())}
    for name in sorted(map(str, names)):
        if name.startswith(last):
            key = ".".join((*path, name))
            below = known_keys([*path, name], values) or isinstance(_child(values, [*path, name]), dict)
            yield f"{key}." if below else f"{key}="
    if not parent:
        yield from (f"{group}=" for group in folders.groups if group.startswith(last) and "/" not in group)


def _child(values: Any, path: Sequence[str]) -> Any:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return values
