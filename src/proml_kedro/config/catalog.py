"""``conf/catalog/*.yaml``: where results are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from proml_kedro.errors import Mistake
from proml_kedro.results import NAMES
from proml_kedro.spec.base import Spec
from proml_kedro.spec.run import RunSpec

KEY = "catalog"

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


def check_places(catalog: Any, data_dir: str) -> Iterator[Mistake]:
    """Find results that would lie in one place, and a store that is not in the data folder.

    Args:
        catalog: A catalog whose entries are sound.
        data_dir: The data folder.
    """
    if catalog.store.filepath != data_dir:
        yield Mistake(
            f"{KEY}.store.filepath", "must be ${data_dir}, where commands look for it; change data_dir instead"
        )
    taken: dict[str, str] = {}
    for name in NAMES:
        place = os.path.normpath(getattr(catalog, name).filepath)
        if place in taken:
            yield Mistake(
                f"{KEY}.{name}.filepath", f"is that of {taken[place]} too; each result has a place of its own"
            )
        taken.setdefault(place, name)
