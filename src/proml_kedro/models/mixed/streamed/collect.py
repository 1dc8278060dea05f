"""What was found, in the order of the entities' names: files that scoring maps into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.keys import names_of, order_of
from proml_kedro.models.mixed.streamed.pack import Part


@dataclass(frozen=True)
class Effects:
    """The effects of all entities, memory-mapped.

    Attributes:
        names: Sorted fixed-width bytes, shape (entities,).
        means: float32 of shape (entities, d): posterior means of u.
        covariances: float32 of shape (entities, d, d): posterior covariances.
        rows: float32 of shape (entities,): how many rows each has, by weight.
    """

    names: Array
    means: Array
    covariances: Array
    rows: Array


def collect(parts: Sequence[Path], d: int, longest: int, unit: float, folder: Path) -> Effects:
    """Write the effects of all entities.

    Args:
        parts: Their folders.
        d: Coefficients of each.
        longest: Bytes of the longest name.
        unit: In which the margin was measured.
        folder: Where to.
    """
    words = np.concatenate([np.asarray(Part.open(one).words) for one in parts])
    order = order_of(words)
    np.save(folder / "names.npy", names_of(words, longest)[order])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    del words, order

    lower = np.tril_indices(d)
    length = max(len(rank), 1)  # as in memory, where nobody is known there is still something to look up
    means = np.lib.format.open_memmap(folder / "means.npy", "w+", np.float32, (length, d))
    covariances = np.lib.format.open_memmap(folder / "covariances.npy", "w+", np.float32, (length, d, d))
    rows = np.lib.format.open_memmap(folder / "counts.npy", "w+", np.float32, (length,))
    first = 0
    for one in parts:
        part = Part.open(one)
        state = part.by_entity()
        if unit != 1.0:
            state[:, :d] *= unit
            state[:, d:] *= unit**2
        at = rank[first : first + len(state)]
        means[at] = state[:, :d]
        full = np.empty((len(state), d, d), np.float32)
        full[:, lower[0], lower[1]] = full[:, lower[1], lower[0]] = state[:, d:]
        covariances[at] = full
        rows[at] = part.counts
        first += len(state)
    return Effects(
        *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("names", "means", "covariances", "counts"))
    )
