"""``conf/catalog/*.yaml``: where results are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from proml_kedro.config.data_folder import unusable_place
from proml_kedro.errors import Mistake, unknown
from proml_kedro.results import NAMES
from proml_kedro.spec.base import Spec
from proml_kedro.spec.run import RunSpec
from proml_kedro.spec.table import CATALOG

KEY = "catalog"

_OURS = ("store", "feature_store", "features", "runs", "release")
"""Folders of the data folder that hold what links lead to, and what goes on."""

FilePath = Annotated[str, Field(min_length=1)]


class StoreEntry(Spec):
    """Where results are made.

    Attributes:
        type: Kedro's dataset.
        filepath: The data folder, ``${data_dir}``.
        reuse: Whether results of earlier runs are taken over, ``${reuse}``.
        metadata: Anything, for other tools.
    """

    type: Literal["proml_kedro.datasets.StoreDataset"]
    filepath: FilePath
    reuse: bool = True
    metadata: Any = None


class ResultEntry(Spec):
    """A link to the newest result of a name.

    Attributes:
        type: Kedro's dataset.
        filepath: Where the link lies.
        metadata: Anything, for other tools.
    """

    type: Literal["proml_kedro.datasets.ArtifactDataset"]
    filepath: FilePath
    metadata: Any = None


_ENTRIES: dict[str, Any] = {"store": (StoreEntry, ...), **dict.fromkeys(NAMES, (ResultEntry, ...))}

CatalogSpec = create_model("CatalogSpec", __base__=Spec, __doc__="Every result of a run by its name.", **_ENTRIES)


class WholeSpec(RunSpec):
    """Everything that is composed."""

    catalog: CatalogSpec


def of_users(catalog: Any) -> dict[str, dict[str, Any]]:
    """Return the entries of a catalog that are not results: datasets that tables are read from.

    One that lacks a type, or has one of ours, is a misspelt result, and no dataset.
    """
    entries = catalog.items() if isinstance(catalog, dict) else ()
    return {
        str(name): one
        for name, one in entries
        if name not in _ENTRIES and isinstance(one, dict) and _is_foreign(one.get("type"))
    }


def _is_foreign(kind: Any) -> bool:
    return isinstance(kind, str) and not kind.startswith("proml_kedro.")


def with_datasets(values: dict[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """Write the datasets that tables name into them: what a table is read from is part of what it is.

    Args:
        values: The composed values, not yet checked.

    Returns:
        The values, and a mistake for each table whose dataset is not in the catalog.
    """
    known, mistakes = of_users(values.get(KEY)), []
    problem = values.get("problem")
    tables = problem.get("tables") if isinstance(problem, dict) else None
    if not isinstance(problem, dict) or not isinstance(tables, dict):
        return values, []
    filled = dict(tables)
    for name, table in tables.items():
        source = table.get("source") if isinstance(table, dict) else None
        if not isinstance(source, str) or not source.startswith(CATALOG) or table.get("dataset"):
            continue
        wanted = source.removeprefix(CATALOG)
        if wanted in known:
            filled[name] = {**table, "dataset": known[wanted]}
        else:
            message = unknown("dataset", wanted, known)
            mistakes.append(Mistake(f"problem.tables.{name}.source", f"{message} Add it to conf/catalog/default.yaml"))
    return {**values, "problem": {**problem, "tables": filled}}, mistakes


def check_places(catalog: Any, data_dir: str) -> Iterator[Mistake]:
    """Find results that would lie in one place, inside of each other or in what is ours, and a store elsewhere.

    Args:
        catalog: A catalog whose entries are sound.
        data_dir: The data folder.
    """
    if catalog.store.filepath != data_dir:
        yield Mistake(
            f"{KEY}.store.filepath", "must be ${data_dir}, where commands look for it; change data_dir instead"
        )
    taken: dict[Path, str] = {}
    for name in NAMES:
        written = getattr(catalog, name).filepath
        place = Path(os.path.abspath(written))  # noqa: PTH100 - links stay, a result's place may be one
        message = unusable_place(written) or _in_what_is_ours(place, data_dir) or _taken(place, taken)
        if message:
            yield Mistake(f"{KEY}.{name}.filepath", message)
        else:
            taken[place] = name


def _taken(place: Path, taken: Mapping[Path, str]) -> str | None:
    if place in taken:
        return f"is that of {taken[place]} too; each result has a place of its own"
    around = next((name for other, name in taken.items() if place in other.parents or other in place.parents), None)
    return around and f"one lies in the other, this and that of {around}; each result has a place of its own"


def _in_what_is_ours(place: Path, data_dir: str) -> str | None:
    """Say that a link would take the place of what a run keeps, or lie in it."""
    folder = Path(os.path.abspath(data_dir))  # noqa: PTH100
    if place == folder or place in folder.parents:
        return "would take the place of the data folder; write ${data_dir}/NAME"
    first = place.relative_to(folder).parts[0] if folder in place.parents else None
    return f"'{first}' of the data folder is not for links; choose another name" if first in _OURS else None
