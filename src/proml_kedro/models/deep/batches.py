"""Which rows make a batch: single rows in random order, or whole groups, padded to one length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

LONGEST = 128  # a longer group is compared in pieces of this length: the pairs of a list grow with its square

Batches = npt.NDArray[np.int32]
"""Row numbers by batch: (batches, rows), or (batches, lists, length).

Padding is ``-1 - row``, where ``row`` is the first of its list."""


def single(rows: int, batch: int, generator: np.random.Generator) -> Batches:
    """Draw batches of single rows: each row once, except those left over from the last whole batch.

    Args:
        rows: How many there are.
        batch: Rows to a batch.
        generator: Of the order.
    """
    batch = min(batch, rows)
    batches = rows // batch
    return generator.permutation(rows)[: batches * batch].astype(np.int32).reshape(batches, batch)


def grouped(group: Array, batch: int, generator: np.random.Generator, multiple: int = 1) -> Batches:
    """Draw batches of whole groups: each group once, except those left over from the last whole batch.

    Rows of a group come in random order, in which long groups are cut.

    Args:
        group: Shape (n,); equal numbers belong together.
        batch: Rows to a batch, about.
        generator: Of the order.
        multiple: The number of lists in a batch is a multiple of this.
    """
    lists = as_lists(group, generator.random(len(group)))
    count = max(multiple, min(batch // lists.shape[1], len(lists)) // multiple * multiple)
    if len(lists) < count:  # fewer groups than devices
        lists = np.resize(lists, (count, lists.shape[1]))
    batches = len(lists) // count
    return lists[generator.permutation(len(lists))[: batches * count]].reshape(batches, count, -1)


def as_lists(group: Array, order: Array) -> Batches:
    """Arrange the rows of each group in lists, those of a long group in several; shape (lists, length).

    Args:
        group: Shape (n,).
        order: Shape (n,); rows of a group are sorted by this.
    """
    rows = np.lexsort((order, group)).astype(np.int32)
    _, starts, sizes = np.unique(group[rows], return_index=True, return_counts=True)
    length = min(int(sizes.max()), LONGEST)
    within = np.arange(len(rows)) - np.repeat(starts, sizes)
    pieces = -(-sizes // length)
    first = np.repeat(np.cumsum(pieces) - pieces, sizes)
    lists = np.full((int(pieces.sum()), length), -1, np.int64)
    line = first + within // length
    lists[line, within % length] = rows
    lead = lists[:, :1]
    return np.where(lists < 0, -1 - lead, lists).astype(np.int32)
