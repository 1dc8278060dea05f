"""Contracts of import-linter beyond those that it comes with."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FaceContract(Contract):
    """What a package's ``__all__`` does not name is not imported from outside of it.

    A name in ``__all__`` is a module that others may import from, or something that ``__init__.py`` offers itself.
    Modules of one package always see each other.
    """

    root = fields.StringField()
    source = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the imports that go past a face."""
        faces = read_faces(Path(str(self.source)), str(self.root))
        broken = []
        for importer in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                hidden = _hidden_behind(importer, imported, faces)
                if hidden:
                    lines = graph.get_import_details(importer=importer, imported=imported)
                    broken.append((importer, imported, hidden, lines[0]["line_number"] if lines else None))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each such import."""
        for importer, imported, face, line in check.metadata["broken"]:
            output.print_error(f"{importer}:{line} imports {imported}, which the __all__ of {face} does not name")


def read_faces(folder: Path, root: str) -> dict[str, frozenset[str]]:
    """What each package offers: its ``__all__``.

    Args:
        folder: Of the root package.
        root: Its name.
    """
    faces = {}
    for file in sorted(folder.rglob("__init__.py")):
        package = ".".join([root, *file.parent.relative_to(folder).parts])
        faces[package] = frozenset(_all_of(ast.parse(file.read_text(encoding="utf-8"))))
    return faces


def _all_of(tree: ast.Module) -> list[str]:
    for node in tree.body:
        targets: list[Any] = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
            return list(ast.literal_eval(node.value))
    return []


def _hidden_behind(importer: str, imported: str, faces: dict[str, frozenset[str]]) -> str | None:
    """The first package that hides the imported module from the importer."""
    parts = imported.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        inside = importer == package or importer.startswith(f"{package}.")
        if not inside and package in faces and parts[depth] not in faces[package]:
            return package
    return None


class LibraryContract(Contract):
    """A library is imported by the modules that are named, and by no other; imports inside of functions count too.

    A name that ends in ``.*`` stands for all modules below a package.
    """

    library = fields.StringField()
    modules = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find who else imports it, and who is named without need."""
        named: set[str] = set(cast(Any, self.modules))
        library = str(self.library)
        importers = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
        others = {one for one in importers if not any(fnmatchcase(one, name) for name in named)}
        idle = {name for name in named if not any(fnmatchcase(one, name) for one in importers)}
        return ContractCheck(kept=not others and not idle, metadata={"others": others, "idle": idle})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print them."""
        for module in sorted(check.metadata["others"]):
            output.print_error(f"{module} imports {self.library}")
        for module in sorted(check.metadata["idle"]):
            output.print_error(f"{module} does not import {self.library} any more")
