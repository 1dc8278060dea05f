"""Index of all entities of a fit, sorted by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.storage.blocks import PackedPart
from proml_kedro.models.mixed.streamed.storage.keys import bytes_of, names_of, order_of, places_among


@dataclass(frozen=True)
class EntityIndex:
    """Names of all entities, and the rank of each part's entities among them; memory-mapped.

    Attributes:
        parts: Folders of the parts.
        names: Sorted fixed-width bytes, shape (entities,).
        ranks: int64 of shape (entities,): position of each entity's name, one part after the other.
    """

    parts: Sequence[Path]
    names: Array
    ranks: npt.NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Path], longest: int, folder: Path) -> Self:
        """Make the index, or map the one that an earlier run has made.

        Args:
            parts: Folders of the parts.
            longest: Bytes of the longest name.
            folder: Folder of the files.
        """
        if not (folder / "ranks.npy").exists():
            words = np.concatenate([np.asarray(PackedPart.open(one).words) for one in parts])
            order = order_of(words)
            np.save(folder / "names.npy", names_of(words, longest)[order])
            ranks = np.empty_like(order)
            ranks[order] = np.arange(len(order))
            np.save(folder / "ranks.writing.npy", ranks)
            (folder / "ranks.writing.npy").rename(folder / "ranks.npy")
        return cls(parts, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("names", "ranks")))

    def walk(self) -> Iterator[tuple[PackedPart, npt.NDArray[np.int64]]]:
        """Iterate over the parts, each with the ranks of its entities."""
        first = 0
        for folder in self.parts:
            part = PackedPart.open(folder)
            yield part, np.asarray(self.ranks[first : first + len(part.words)])
            first += len(part.words)

    def places(self, known: Array) -> npt.NDArray[np.int64]:
        """Find the position of each name among sorted fixed-width bytes, -1 where it is unknown; shape (entities,)."""
        places = np.full(len(self.names), -1, np.int64)
        if len(known) and len(places):
            places_among(bytes_of(self.names), bytes_of(known), places)
        return places
