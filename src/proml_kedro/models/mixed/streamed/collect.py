"""What was found, in the order of the entities' names: files that scoring maps into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.index import Index


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


def collect(index: Index, d: int, unit: float, folder: Path) -> Effects:
    """Write the effects of all entities.

    Args:
        index: Of the entities.
        d: Coefficients of each.
        unit: In which the margin was measured.
        folder: Where to.
    """
    lower = np.tril_indices(d)
    length = max(len(index.names), 1)  # as in memory, where nobody is known there is still something to look up
    means = np.lib.format.open_memmap(folder / "means.npy", "w+", np.float32, (length, d))
    covariances = np.lib.format.open_memmap(folder / "covariances.npy", "w+", np.float32, (length, d, d))
    rows = np.lib.format.open_memmap(folder / "counts.npy", "w+", np.float32, (length,))
    for part, at in index.walk():
        state = part.by_entity()
        if unit != 1.0:
            state[:, :d] *= unit
            state[:, d:] *= unit**2
        means[at] = state[:, :d]
        full = np.empty((len(state), d, d), np.float32)
        full[:, lower[0], lower[1]] = full[:, lower[1], lower[0]] = state[:, d:]
        covariances[at] = full
        rows[at] = part.counts
    return Effects(
        index.names, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("means", "covariances", "counts"))
    )
