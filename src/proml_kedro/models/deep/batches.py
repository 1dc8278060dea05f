"""Which rows make a batch: single rows in random order, or whole groups as lists of different lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

LONGEST = 128  # a longer group is compared in pieces of at most this length: the pairs of a list grow with its square
PADDING = -1

Batch = npt.NDArray[np.int32]
"""Row numbers of shape (lists, length), :data:`PADDING` behind the rows of a shorter list.

The lists have one row where no loss compares rows.
"""


def single(rows: int, batch: int, generator: np.random.Generator) -> list[Batch]:
    """Draw batches of single rows: each row once, except those left over from the last whole batch.

    Args:
        rows: How many there are.
        batch: Rows to a batch.
        generator: Of the order.
    """
    batch = min(batch, rows)
    batches = rows // batch
    return list(generator.permutation(rows)[: batches * batch].astype(np.int32).reshape(batches, batch, 1))


def grouped(group: Array, batch: int, generator: np.random.Generator, multiple: int = 1) -> list[Batch]:
    """Draw batches of whole groups, of nearly equally many rows: each group once.

    Groups of all lengths are mixed, so that each step is drawn from all of them. That costs nothing: the network is
    given the rows alone, and lists are filled up for losses only.

    Args:
        group: Shape (n,); equal numbers belong together.
        batch: Rows to a batch, about.
        generator: Of the order of the groups and of the rows in each, in which long groups are cut.
        multiple: The number of lists in a batch is a multiple of this: up to ``multiple - 1`` lists of a batch are
            omitted, or lists are repeated where there are too few.
    """
    lists = as_lists(group, generator.random(len(group)))
    lists = lists[generator.permutation(len(lists))]
    ends = np.cumsum(np.sum(lists != PADDING, axis=1))
    batches = max(1, min(round(len(group) / batch), len(lists) // multiple))
    cuts = np.searchsorted(ends, len(group) * np.arange(1, batches) / batches)
    found = []
    for some in filter(len, np.split(lists, cuts)):
        count = max(len(some) // multiple, 1) * multiple
        found.append(trimmed(some[:count] if len(some) >= count else np.resize(some, (count, some.shape[1]))))
    return found


def as_lists(group: Array, order: Array) -> Batch:
    """Arrange the rows of each group in lists, those of a long group in several of even length; (lists, length).

    Args:
        group: Shape (n,).
        order: Shape (n,); rows of a group are sorted by this.
    """
    rows = np.lexsort((order, group)).astype(np.int32)
    _, starts, sizes = np.unique(group[rows], return_index=True, return_counts=True)
    within = np.arange(len(rows)) - np.repeat(starts, sizes)
    pieces = -(-sizes // LONGEST)
    lengths = -(-sizes // pieces)
    first, length = (np.repeat(one, sizes) for one in (np.cumsum(pieces) - pieces, lengths))
    lists = np.full((int(pieces.sum()), int(lengths.max())), PADDING, np.int32)
    lists[first + within // length, within % length] = rows
    return lists


def trimmed(lists: Batch) -> Batch:
    """Leave out columns that hold nothing but padding."""
    return lists[:, (lists != PADDING).any(axis=0)]
