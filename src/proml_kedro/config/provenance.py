"""Which file, and which line of it, a key of the composition came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode


@dataclass(frozen=True)
class Source:
    """A file that took part in the composition.

    Attributes:
        file: Its path.
        shown: Its path as the user knows it.
        package: Where in the composition its content was put.
        root: Which part of the file that content is.
    """

    file: Path
    shown: str
    package: tuple[str, ...]
    root: tuple[str, ...] = ()


class Provenance:
    """Knows the origin of every key.

    Args:
        sources: The files, later ones winning over earlier ones.
        overrides: The overrides that change values, in order.
    """

    def __init__(self, sources: Sequence[Source], overrides: Sequence[Override]) -> None:
        self._sources = tuple(sources)
        self._overrides = tuple(overrides)
        self._trees: dict[Path, yaml.Node | None] = {}

    @classmethod
    def of(cls, loader: ConfigLoader, folders: Sequence[Path], name: str, overrides: Sequence[str]) -> Provenance:
        """The origins of a composition that succeeded."""
        parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
        defaults = loader.compute_defaults_list(name, list(overrides), RunMode.RUN).defaults
        found = (_find(folders, one.config_path or "", tuple((one.package or "").split("."))) for one in defaults)
        changes = [one for one in parsed if not loader.get_group_options(one.key_or_group)]
        return cls([one for one in found if one], changes)

    def where(self, key: str) -> str | None:
        """``conf/model/xgboost.yaml:3`` or ``override '…'``; of the nearest parent when nobody wrote the key itself."""
        path = key.split(".")
        best: tuple[int, str] | None = None
        for source in self._sources:
            if tuple(path[: len(source.package)]) != source.package:
                continue
            depth, line = _follow(self._tree(source.file), [*source.root, *path[len(source.package) :]])
            if depth + len(source.package) > len(source.root) and (
                best is None or depth + len(source.package) >= best[0]
            ):
                best = depth + len(source.package), f"{source.shown}:{line}"
        for override in reversed(self._overrides):
            if key == override.key_or_group or key.startswith(f"{override.key_or_group}."):
                return f"override '{override.input_line}'"
        return best[1] if best else None

    def _tree(self, file: Path) -> yaml.Node | None:
        if file not in self._trees:
            self._trees[file] = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
        return self._trees[file]


def _find(folders: Sequence[Path], config: str, package: tuple[str, ...]) -> Source | None:
    """The file of a configuration, from the first folder that has it; None for Hydra's own."""
    for folder in folders:
        file = folder / f"{config}.yaml"
        if file.is_file():
            return Source(file, f"{folder.name}/{config}.yaml", tuple(part for part in package if part))
    return None


def _follow(node: yaml.Node | None, path: Sequence[str]) -> tuple[int, int]:
    """How many parts of the path the file spells out, and the line (from 1) where that ends."""
    depth, line = 0, 1
    for part in path:
        found = next((pair for pair in _children(node) if pair[0] == part), None)
        if found is None:
            break
        _, line, node = found
        depth += 1
    return depth, line


def _children(node: yaml.Node | None) -> Iterator[tuple[str, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key.start_mark.line + 1, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(index), item.start_mark.line + 1, item) for index, item in enumerate(node.value))
