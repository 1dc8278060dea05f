"""Which modules a module imports, found by reading its source."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from proml_kedro.atomic import write_whole

_DOTTED = re.compile(r"""["'](\w+(?:\.\w+)+)["']""")
"""A name in quotes, as by which Feast is told the class of a store."""

_FORMAT = 1

_FOUND: dict[str, list[str]] = {}
"""What this process has found, whichever file remembers it: it may work on several projects."""

_ONE_PARSE = Lock()
"""Python 3.11 counts the depth of a tree for the whole process: two threads that parse at once are a SystemError."""


class ImportIndex:
    """The imports of modules, remembered in a file by the digest of their source.

    To read the source of all modules takes half a second, which a run that finds everything unchanged has not.

    Args:
        file: Where they are remembered; nothing is when it cannot be written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known = _read(file) if file else {}
        self._has_new = False

    def imports(self, source: bytes, package: str, digest: str) -> tuple[str, ...]:
        """Return the dotted names that a module may import: modules, and what is taken from them.

        Args:
            source: Of the module.
            package: The package that relative imports begin at.
            digest: Of the source.
        """
        key = f"{digest[:32]} {package}"
        if key not in self._known:
            if key not in _FOUND:
                _FOUND[key] = sorted(set(find_imports(source, package)))
            self._known[key] = _FOUND[key]
            self._has_new = True
        return tuple(self._known[key])

    def save(self) -> None:
        """Remember what was found, where that can be written."""
        if self._has_new and self._file:
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, json.dumps({"format": _FORMAT, "imports": self._known}))
        self._has_new = False


def _read(file: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(file.read_bytes())
        if content["format"] == _FORMAT:
            return {str(key): [str(one) for one in names] for key, names in content["imports"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return {}


def find_imports(source: bytes, package: str) -> Iterator[str]:
    """Find the dotted names that a module may import, wherever it does so, and those that it has in quotes.

    What only a type checker imports is left out, but for a module with ``__getattr__``, which imports that on demand.

    Args:
        source: Of the module.
        package: The package that relative imports begin at.
    """
    try:
        with _ONE_PARSE:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):  # whoever imports it says so
        return
    is_lazy = any(isinstance(one, ast.FunctionDef) and one.name == "__getattr__" for one in tree.body)
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package)
        elif isinstance(node, ast.If) and _is_for_types(node.test) and not is_lazy:
            waiting.extend(node.orelse)
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            waiting.extend(ast.iter_child_nodes(node))
    yield from _DOTTED.findall(source.decode("utf-8", "replace"))


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    yield module
    yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_for_types(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
