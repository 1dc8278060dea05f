"""What was found, in the order of the entities' names: files that scoring maps into memory."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.storage.index import Index

_NOT_ABLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}  # what a file system says that takes no space beforehand


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
    return Effects(
        index.names, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("means", "covariances", "counts"))
    )


def _new(file: Path, shape: tuple[int, ...]) -> Array:
    """A memory-mapped array of zeros, whose space on the disk is taken now, where that can be done.

    Where the disk is full that is an error of the system like any other; to write to a page that finds no room later
    kills the process (SIGBUS).

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
