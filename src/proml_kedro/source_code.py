"""Digests of the code that a result rests on: of modules with all that they import, and of installed libraries."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from proml_kedro import extensions
from proml_kedro.extensions import Registry
from proml_kedro.imports import ImportIndex

_PACKAGE = "proml_kedro"
_REGISTRIES = f"{_PACKAGE}.extensions."
_SPECS = f"{_PACKAGE}.spec."
"""What these take from registries are names and types of YAML, and nothing is computed by them."""

_BY_KIND = ("components", "producers")
"""Registries whose objects count only for those who use them, by :func:`code_fingerprint` of their modules."""

_INSTALLED = ("site-packages", "dist-packages")
"""Folders that hold packages which have nothing to do with each other."""


@dataclass
class SourceTree:
    """The Python files below a folder, and what they import of each other.

    Attributes:
        folder: The folder that holds the top-level packages and modules.
        top: The only one of these that counts; all of them when it is empty.
        index: Remembers imports.
    """

    folder: Path
    top: str
    index: ImportIndex
    _places: dict[str, Path | None] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _needs: dict[str, frozenset[str]] = field(default_factory=dict)

    def find(self, name: str) -> Path | None:
        """Return the file of a module, or the folder of a package; None when there is no such module."""
        if name not in self._places:
            self._places[name] = self._find(name) if self._counts(name) else None
        return self._places[name]

    def _counts(self, name: str) -> bool:
        top = name.partition(".")[0]
        return top == self.top if self.top else top != _PACKAGE

    def _find(self, name: str) -> Path | None:
        place = self.folder.joinpath(*name.split("."))
        if place.is_dir():
            return place
        file = place.with_name(f"{place.name}.py")
        return file if file.is_file() else None

    def modules(self, name: str) -> Iterator[str]:
        """Return a module, or every module of a package.

        Raises:
            ValueError: There is no such module.
        """
        place = self.find(name)
        if place is None:
            raise ValueError(f"no module '{name}' below {self.folder}")
        if place.is_file():
            yield name
            return
        for file in sorted(place.rglob("*.py")):
            parts = file.relative_to(place).with_suffix("").parts
            yield ".".join([name, *(parts[:-1] if parts[-1] == "__init__" else parts)])

    def closure(self, names: Iterable[str], *, whole: bool = True) -> dict[str, str]:
        """Return the digest of each of some modules, and of all that they import below the folder.

        Args:
            names: Modules and packages.
            whole: Whether a package stands for all of its modules; otherwise for its own file and what that imports.

        Raises:
            ValueError: One of the names is no module.
        """
        waiting = [module for name in names for module in (self.modules(name) if whole else [name])]
        found: dict[str, str] = {}
        while waiting:
            module = waiting.pop()
            if module not in found:
                waiting += self._imported_by(module)
                found[module] = self._digests[module]
        self.index.save()
        return dict(sorted(found.items()))

    def _imported_by(self, module: str) -> frozenset[str]:
        if module not in self._needs:
            place = self.find(module)
            file = place / "__init__.py" if place and place.is_dir() else place
            source = file.read_bytes() if file and file.is_file() else b""
            self._digests[module] = digest = hashlib.sha256(source).hexdigest()
            package = module if place and place.is_dir() else module.rpartition(".")[0]
            names = self.index.imports(source, package, digest)
            self._needs[module] = frozenset(
                one for name in names if self._counts(name) for one in self._resolve(name, module)
            ) - {module}
        return self._needs[module]

    def _resolve(self, name: str, importer: str) -> Iterator[str]:
        """Find the modules that are imported for a dotted name: itself, or what it is taken from, and packages."""
        if self.top == _PACKAGE and name.startswith(_REGISTRIES) and not importer.startswith(_SPECS):
            yield from _built_in(name.removeprefix(_REGISTRIES))
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            if self.find(module) is None:
                return
            if module != _PACKAGE:  # its __init__ only offers what others hold
                yield module


def _built_in(registry: str) -> Iterator[str]:
    """Return the modules of this package whose objects a registry loads by name."""
    known = getattr(extensions, registry, None)
    if isinstance(known, Registry) and registry not in _BY_KIND:
        yield from (one for one in known.modules().values() if one.startswith(f"{_PACKAGE}."))


def _own_folder() -> Path:
    return Path(__file__).parents[1]


@cache
def _own_tree(remember: Path | None) -> SourceTree:
    return SourceTree(_own_folder(), _PACKAGE, ImportIndex(remember))


@cache
def code_fingerprint(*code: str, remember: Path | None = None) -> str:
    """Return a digest of modules of this package with all that they import of it, and of versions of libraries.

    Args:
        code: Modules and packages below ``proml_kedro``, such as ``features.tables.read``; a file alone, without what
            it imports, such as ``workflow/steps/train.py``; or the distribution of an installed library, such as
            ``==xgboost``.
        remember: A file in which it is remembered which module imports what.

    Raises:
        ValueError: There is no such module.
        PackageNotFoundError: There is no such library.
    """
    libraries = {one[2:]: version(one[2:]) for one in code if one.startswith("==")}
    files = {one: _sha256(_own_folder() / _PACKAGE / one) for one in code if one.endswith(".py")}
    modules = [f"{_PACKAGE}.{one}" for one in code if not one.startswith("==") and not one.endswith(".py")]
    return _digest({**_own_tree(remember).closure(modules), **files, **libraries})


def _sha256(file: Path) -> str:
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def extension_fingerprint(*modules: str, requires: Iterable[str] = ()) -> str:
    """Return a digest of modules that are no part of this package, with all that they import of their own.

    Its own are the modules of its top-level package; and, where that is not installed among others, those beside it.

    Args:
        modules: Dotted names, of one top-level package.
        requires: Distributions whose versions count too; those that are not installed are left out.
    """
    top = modules[0].partition(".")[0]
    folder = _folder_of(top)
    libraries = {one: _version(one) for one in requires}
    if folder is None:  # typed into a notebook: nobody can see what it imports
        return _digest(libraries)
    tree = SourceTree(folder, top if folder.name in _INSTALLED else "", ImportIndex(None))
    return _digest({**tree.closure(modules, whole=False), **libraries})


def _folder_of(top: str) -> Path | None:
    """Find the folder that a top-level package or module lies in."""
    loaded = sys.modules.get(top)
    file = getattr(loaded, "__file__", None)
    if file:
        return Path(file).parents[1] if hasattr(loaded, "__path__") else Path(file).parent
    places = list(getattr(loaded, "__path__", ()))
    if not places and loaded is None and (spec := find_spec(top)):
        places = list(spec.submodule_search_locations or ()) or ([spec.origin] if spec.origin else [])
    return Path(places[0]).parent if places else None


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _digest(parts: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {one}" for name, one in sorted(parts.items())).encode()).hexdigest()
