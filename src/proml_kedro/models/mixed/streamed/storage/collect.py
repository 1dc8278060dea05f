"""Collection of the entities' coefficients, sorted by name, in files that scoring maps into memory."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.storage.index import EntityIndex

_NOT_ABLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}  # errors of a file system that cannot reserve space


@dataclass(frozen=True)
class CollectedEffects:
    """Coefficients of all entities, memory-mapped.

    Attributes:
        names: Sorted fixed-width bytes, shape (entities,).
        means: float32 of shape (entities, d): posterior means of u.
        covariances: float32 of shape (entities, d, d): posterior covariances.
        rows: float32 of shape (entities,): number of rows of each, by weight.
    """

    names: Array
    means: Array
    covariances: Array
    rows: Array


def collect(index: EntityIndex, d: int, unit: float, folder: Path) -> CollectedEffects:
    """Write the coefficients of all entities, in the unit of the label.

    Args:
        index: Index of the entities.
        d: Coefficients of each entity.
        unit: Unit in which margins were fitted.
        folder: Folder of the files.

    Raises:
        OSError: The disk is full.
    """
    lower = np.tril_indices(d)
    length = max(len(index.names), 1)  # as in memory, arrays have one row where no entity is known
    means = _new(folder / "means.npy", (length, d))
    covariances = _new(folder / "covariances.npy", (length, d, d))
    rows = _new(folder / "counts.npy", (length,))
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
    return CollectedEffects(
        index.names, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("means", "covariances", "counts"))
    )


def _new(file: Path, shape: tuple[int, ...]) -> Array:
    """Make a memory-mapped array of zeros in float32, and reserve its space on the disk where the system can.

    A full disk is then an ordinary error. Writing later to a page without space would kill the process (SIGBUS).

    Raises:
        OSError: The disk is full.
    """
    array = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
            except OSError as error:
                if error.errno not in _NOT_ABLE:
                    raise
    return array
