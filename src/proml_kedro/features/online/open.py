"""The online store that a configuration names: found by the form of its setting, opened at its place."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.extensions import online_stores
from proml_kedro.features.online.kind import OnlineStoreKind
from proml_kedro.features.online.store import OnlineStore

SQLITE = "sqlite"


def kind_of(setting: str) -> OnlineStoreKind:
    """Return the kind that a setting or a place belongs to: its scheme names it. A plain path is a SQLite file.

    Args:
        setting: What ``online_store:`` says, or what :meth:`OnlineStoreKind.place` made of it.

    Raises:
        UnknownNameError: There is no such kind.
    """
    name, separator, _ = setting.partition("://")
    if not separator and name not in online_stores.names():
        name = SQLITE
    kind: OnlineStoreKind = online_stores.get(name)()
    return kind


def open_store(place: str | Path, project: str) -> OnlineStore:
    """Open the store at a place.

    Args:
        place: What :func:`store_place` returned: a SQLite file, or the URL of any other kind.
        project: The problem's name.
    """
    return kind_of(str(place)).open(str(place), project)


def store_place(setting: str, project: str, data_dir: Path) -> str:
    """Return where a problem's online store is.

    Args:
        setting: What ``online_store:`` says.
        project: The problem's name.
        data_dir: Where results are kept.
    """
    return kind_of(setting).place(setting, project, data_dir)
