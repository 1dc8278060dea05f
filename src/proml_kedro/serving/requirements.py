"""What a Bento needs: the project's own modules that serving a model runs, and pins for what those import."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proml_kedro.bundle import Manifest
from proml_kedro.extensions import online_stores
from proml_kedro.features.online.open import SQLITE, kind_of
from proml_kedro.models.kinds import modules_of

PACKAGE = "proml_kedro"

# What is loaded by name and so imported nowhere.
_SERVICE = ("proml_kedro.serving.service", "proml_kedro.serving.http.worker", "pyarrow", "uvicorn", "httptools")
_ONLINE = ("proml_kedro.features.online.lookup",)


def needed_modules(manifest: Manifest) -> set[str]:
    """Find every module that serving a bundle may import by reading source, without importing anything heavy.

    Own code (this package and the run's extensions) is followed; of other packages only the top-level name is given.
    """
    looks_up = any(not one.request for one in manifest.rows.inputs)
    kinds = [module for spec in manifest.model.components.values() for module in modules_of(spec.kind)]
    extensions = manifest.config.get("extensions", [])
    stores = _store_modules(str(manifest.config.get("online_store", SQLITE))) if looks_up else set()
    loaded = [*kinds, *extensions, *stores, *_declaring(manifest)]
    own = {PACKAGE, *(module.partition(".")[0] for module in loaded if not _is_installed(module))}
    found: set[str] = set()
    pending = [*_SERVICE, *(_ONLINE if looks_up else ()), *loaded]
    while pending:
        module = pending.pop()
        top = module.partition(".")[0]
        if top not in own:
            module = top
        elif not looks_up and module.startswith(f"{PACKAGE}.features"):
            continue
        if module in found:
            continue
        found.add(module)
        if top in own:
            pending.extend(_imports_of(module))
    return found


def _declaring(manifest: Manifest) -> set[str]:
    """Return the modules, not of this package, of the features and the split that the configuration declares."""
    declared = [one for view in manifest.features.views.values() for one in view.features.values()]
    modules = {type(one).__module__ for one in (*declared, manifest.problem.split)}
    return {one for one in modules if one.partition(".")[0] != PACKAGE}


def _store_modules(configured: str) -> set[str]:
    """Return the modules of the configured kind of online store, and of this package's, which a variable may name."""
    modules = {str(online_stores.get(name).__module__) for name in online_stores.names()}
    return {one for one in modules if one.startswith(f"{PACKAGE}.")} | {type(kind_of(configured)).__module__}


def pins(modules: Iterable[str]) -> list[str]:
    """Return ``distribution==version`` for each module of an installed distribution, and all that those need, sorted.

    What a distribution needs is what its metadata says for this platform; what is not installed here is left out.
    """
    known = _distributions()
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names) - {PACKAGE}
    names = _with_their_own({name for top in tops for name in known.get(top, [])[:1]})
    return [f"{name}=={version(name)}" for name in sorted(names, key=str.lower)]


def _with_their_own(names: Iterable[str]) -> set[str]:
    """Return distributions and those that they need, however far; by their names as installed."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [Requirement(name) for name in names]
    while pending:
        one = pending.pop()
        name = canonicalize_name(one.name)
        wanted = {(name, extra) for extra in ("", *one.extras)} - seen
        seen |= wanted
        try:
            metadata = distribution(one.name).metadata if wanted else None
        except PackageNotFoundError:  # optional, or of another platform
            continue
        if metadata is None:
            continue
        found[name] = metadata["Name"]
        needs = [Requirement(text) for text in metadata.get_all("Requires-Dist") or ()]
        environments = [{"extra": extra} for _, extra in wanted]
        pending += [two for two in needs if not two.marker or any(map(two.marker.evaluate, environments))]
    return set(found.values())


def own_sources(modules: Iterable[str]) -> dict[str, Path]:
    """Return the files and folders to copy, by their names there: this package, and extensions of the project."""
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    sources = {PACKAGE: Path(__file__).parents[1]}
    for top in tops - {PACKAGE}:
        file = _file_of(top)
        if file is not None and not _is_installed(top):
            source = file.parent if file.name == "__init__.py" else file
            sources[source.name] = source
    return sources


def _is_installed(module: str) -> bool:
    """Return whether a package index has it. Extensions of the project itself are copied instead."""
    return module.partition(".")[0] in _distributions()


def _distributions() -> Mapping[str, list[str]]:
    return _distributions_on(tuple(sys.path))


@cache
def _distributions_on(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Which distributions bring a package. To find out reads the files of all that are installed: half a second."""
    return packages_distributions()


def _imports_of(module: str) -> tuple[str, ...]:
    file = _file_of(module)
    if file is None:
        return ()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _imported_in(file.read_text(encoding="utf-8"), package)


@cache
def _imported_in(source: str, package: str) -> tuple[str, ...]:
    return tuple(_find_imports(ast.parse(source), package))


def _find_imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield from [name] if _is_module(name) else _offered_on_demand(base, alias.name)


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only a type checker sees, and what a package offers on demand alone."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":  # a kind's component is named by itself
            continue
        yield from _runtime_nodes(node)


def _offered_on_demand(package: str, name: str) -> Iterator[str]:
    """Yield the module that a name of one of our packages comes from, where the package imports it on first use.

    Such a package says so to type checkers.
    """
    file = _file_of(package) if package.partition(".")[0] == PACKAGE else None
    for block in ast.parse(file.read_text(encoding="utf-8")).body if file else ():
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test):
            for node in block.body:
                if isinstance(node, ast.ImportFrom) and node.module and name in [one.name for one in node.names]:
                    yield node.module


def _is_module(name: str) -> bool:
    return name.startswith(f"{PACKAGE}.") and _file_of(name) is not None


def _file_of(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
