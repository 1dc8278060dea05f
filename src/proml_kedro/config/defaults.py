"""The defaults list of ``config.yaml``: which file of each group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proml_kedro.config.folders import MAIN, Folders
from proml_kedro.errors import Mistake, unknown

NEEDED = ("problem", "features", "model")
"""Groups without which there is nothing to run."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Choice:
    """One entry of a defaults list.

    Attributes:
        group: Group with its package, as written behind ``optional`` or ``override``.
        option: Name of the file; None for none.
        line: Where the entry stands.
    """

    group: str
    option: str | None
    line: int
    optional: bool = False

    @property
    def folder(self) -> str:
        """The group without its package."""
        return self.group.partition("@")[0].lstrip("/")


@dataclass(frozen=True)
class Main:
    """The defaults list of ``config.yaml``, read before anything is composed.

    Attributes:
        entries: Its entries.
        keys: The keys that the file itself has.
    """

    entries: list[Choice] = field(default_factory=list)
    keys: frozenset[str] = frozenset()

    @property
    def choices(self) -> dict[str, str | None]:
        """The file chosen of each group."""
        return {entry.group: entry.option for entry in self.entries}


def read_main(folders: Folders) -> Main:
    """Read the entries of ``config.yaml``; none when the file cannot be read, which composing it will say better."""
    try:
        file = folders.own / MAIN
        return Main(list(read_choices(file)), _keys(file))
    except (yaml.YAMLError, UnicodeDecodeError):
        return Main()


def _keys(file: Path) -> frozenset[str]:
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=_LOADER)
    return frozenset(str(key.value) for key, _ in root.value) if isinstance(root, yaml.MappingNode) else frozenset()


def read_choices(file: Path) -> Iterator[Choice]:
    """Read the entries of a file's defaults list.

    Raises:
        yaml.YAMLError: The file is not YAML.
    """
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=_LOADER)
    items = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in items:
        if key.value == "defaults" and isinstance(value, yaml.SequenceNode):
            for entry in value.value:
                yield from _choices(entry)


def _choices(entry: yaml.Node) -> Iterator[Choice]:
    for key, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
        words = str(key.value).split()
        option = None if value.tag == "tag:yaml.org,2002:null" else _text(value.value)
        yield Choice(words[-1], option, key.start_mark.line + 1, "optional" in words[:-1])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "[…]"


def chooses_none(group: str, options: Sequence[str]) -> str:
    """Return the message for a group that has to be chosen and is null."""
    named = "; a file of the name null needs quotes" if "null" in options else ""
    return f"null chooses no {group}, and a run needs one. Known: {', '.join(sorted(options)[:10])}{named}"


def check_defaults(main: Main, folders: Folders, overridden: set[str]) -> list[Mistake]:
    """Find groups and files that ``config.yaml`` names and that do not exist, all at once."""
    label = folders.label(folders.own / MAIN)
    mistakes = []
    for entry in main.entries:
        if entry.group in overridden or entry.optional or "${" in (entry.option or ""):
            continue
        if entry.option is None and entry.group not in NEEDED:
            continue
        if entry.option is None:
            message = chooses_none(entry.group, folders.options(entry.folder))
        elif entry.folder not in folders.groups:
            message = unknown("group", entry.folder, folders.groups)
        elif entry.option not in folders.options(entry.folder):
            message = unknown(entry.folder, entry.option, folders.options(entry.folder))
        else:
            continue
        mistakes.append(Mistake("", message, f"{label}:{entry.line}"))
    return mistakes
