"""The composed values against the specs: every mistake, in plain words."""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from proml_kedro.config.catalog import KEY as CATALOG
from proml_kedro.config.catalog import CatalogSpec, check_places, of_users, with_datasets
from proml_kedro.config.pydantic_errors import MISFITS, in_words
from proml_kedro.config.spec_paths import known_keys
from proml_kedro.errors import Mistake, did_you_mean
from proml_kedro.spec.base import Spec
from proml_kedro.spec.run import RunSpec, check

Error = Mapping[str, Any]
"""One entry of pydantic's list of errors."""

Path_ = tuple[str, ...]

S = TypeVar("S", bound=Spec)


def import_extensions(names: Any, base_path: Path) -> list[Mistake]:
    """Import the modules that register further components; those beside ``conf`` are found too.

    Args:
        names: The value of ``extensions``; anything but a list of names is left to validation.
        base_path: The folder that holds ``conf``.
    """
    if not isinstance(names, list) or not names:
        return []
    if str(base_path) not in sys.path:
        sys.path.append(str(base_path))
    mistakes = []
    for position, name in enumerate(names):
        try:
            importlib.import_module(str(name))
        except Exception as error:  # noqa: BLE001 (whatever the module of the user raises)
            reason = next(iter(str(error).splitlines()), "")
            message = f"cannot import '{name}': {type(error).__name__}: {reason}"
            mistakes.append(Mistake(f"extensions.{position}", message))
    return mistakes


def refuse_targets(values: Any, path: Path_ = ()) -> Iterator[Mistake]:
    """Find ``_target_``, by which Hydra would call any function; it is not allowed anywhere."""
    children: list[tuple[Any, Any]] = []
    if isinstance(values, Mapping):
        children = list(values.items())
    elif isinstance(values, list):
        children = list(enumerate(values))
    for name, child in children:
        if name == "_target_":
            message = "not allowed: nothing is called by name here; write the kind of a registered component"
            yield Mistake(".".join((*path, name)), message)
        else:
            yield from refuse_targets(child, (*path, str(name)))


def validate(values: dict[str, Any]) -> tuple[RunSpec | None, list[Mistake]]:
    """Check everything, the catalog too, which is no part of the result.

    Returns:
        The checked configuration, None when it is not sound; and what is wrong with it.
    """
    catalog, mistakes = None, [Mistake(CATALOG, "is missing")]
    if values.get(CATALOG) is not None:
        catalog, mistakes = _checked(CatalogSpec, _of_results(values[CATALOG]), values, (CATALOG,))
    values, unknown_datasets = with_datasets(values)
    mistakes += unknown_datasets
    run, wrong = _checked(RunSpec, {name: value for name, value in values.items() if name != CATALOG}, values)
    mistakes += wrong
    if catalog is not None and run is not None:
        mistakes += check_places(catalog, run.data_dir)
    if run is not None:
        mistakes += check(run)
    return (None if mistakes else run), mistakes


def _of_results(catalog: Any) -> Any:
    """The entries that are results, or try to be."""
    if not isinstance(catalog, dict):
        return catalog
    foreign = of_users(catalog)
    return {name: one for name, one in catalog.items() if name not in foreign}


def _checked(spec: type[S], part: Any, values: dict[str, Any], place: Path_ = ()) -> tuple[S | None, list[Mistake]]:
    """Check the part of the values that stands at a place."""
    try:
        return spec.model_validate(part), []
    except ValidationError as error:
        return None, list(_mistakes(error, values, place))


def _mistakes(error: ValidationError, values: dict[str, Any], place: Path_) -> Iterator[Mistake]:
    by_path: dict[Path_, list[Error]] = defaultdict(list)
    tried: dict[Path_, bool] = {}
    for one in error.errors(include_url=False):
        path, union = _key_of((*place, *one["loc"]), one["type"], values)
        by_path[path].append(one)
        if union is not None and (one["type"] not in MISFITS or len(path) > len(union)):
            tried[union] = True  # a member of the union fits the value, so what other members say is beside the point
    for path, errors in by_path.items():
        left = [one for one in errors if not (path in tried and one["type"] in MISFITS)]
        if left:
            yield _mistake(path, left, values)


def _key_of(place: Sequence[Any], kind: str, values: Any) -> tuple[Path_, Path_ | None]:
    """Find the key in the configuration, without the names of union members that pydantic puts between.

    Returns:
        The key's parts, and those of the innermost union passed on the way.
    """
    path: list[str] = []
    union: Path_ | None = None
    parts = [part for part in place if part != "[key]"]
    value = values
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if _holds(value, part):
            value = value[part]
        elif not (last and kind == "missing"):
            union = tuple(path)
            continue
        path.append(str(part))
    return tuple(path), union


def _holds(value: Any, part: Any) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _mistake(path: Path_, errors: list[Error], values: dict[str, Any]) -> Mistake:
    key = ".".join(path)
    if errors[0]["type"] == "extra_forbidden":
        return Mistake(key, f"unknown key.{_hint(path, values)}")
    if errors[0]["type"] == "missing":
        return Mistake(key, "is missing")
    if path == ("config_version",):
        return Mistake(key, f"version {errors[0]['input']} is unknown to this proml_kedro; it knows version 1")
    message = in_words(errors)
    field, colon, rest = message.partition(": ")
    if colon and field in known_keys(path, values):
        return Mistake(f"{key}.{field}", rest)
    return Mistake(key, message)


def _hint(path: Path_, values: dict[str, Any]) -> str:
    *parent, name = path
    if not parent and name in ("env", "experiment"):
        return f" The first line of a file in conf/{name} must be '# @package _global_'."
    return did_you_mean(name, known_keys(parent, values))
