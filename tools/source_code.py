"""Reading ``src`` without importing it: where a symbol is, what it says of itself, and which modules import which."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "proml_kedro"
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class MovedError(LookupError):
    """A symbol is not where a list says that it is."""


@dataclass(frozen=True)
class Symbol:
    """A module of the package, or a name in it.

    Attributes:
        module: Path below the package, with dots: ``features.views.windows``.
        name: A function, class or constant of it, a method as ``Class.method``; empty for the module itself.
    """

    module: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Symbol:
        """Read ``module:name`` or ``module``."""
        module, _, name = text.partition(":")
        return cls(module, name)

    def __str__(self) -> str:
        return f"{self.module}:{self.name}" if self.name else self.module

    @property
    def file(self) -> Path:
        """The file that holds it.

        Raises:
            MovedError: No such module.
        """
        return module_file(self.module)

    def docstring(self) -> str:
        """Return the first line of what it says of itself; for a constant, of its module.

        Raises:
            MovedError: No such module, or no such name in it.
        """
        tree: Documented = parsed(self.file)
        for part in filter(None, self.name.split(".")):
            found = next((one for one in tree.body if part in _names(one)), None)
            if found is None:
                raise MovedError(f"{self.module} has no {self.name}; where did it go?")
            if isinstance(found, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                tree = found
        return (ast.get_docstring(tree) or "").partition("\n")[0]


def module_file(module: str) -> Path:
    """Return the file of a module or package below the package.

    Raises:
        MovedError: There is none.
    """
    path = ROOT.joinpath("src", PACKAGE, *module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    raise MovedError(f"no module {PACKAGE}.{module}; where did it go?")


@cache
def parsed(file: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def _names(statement: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {one.id for one in targets if isinstance(one, ast.Name)}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return what a module imports, inside of functions too.

    Returns:
        Modules of the package without its name, each name that is imported from one as ``module.name``, and libraries.
    """
    found: set[str] = set()
    for node in ast.walk(parsed(module_file(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    libraries = {one.partition(".")[0] for one in found}
    return frozenset(libraries | {one.removeprefix(f"{PACKAGE}.") for one in found})
