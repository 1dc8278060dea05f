"""Examples encoded into matrices: in memory or, when there are too many, in parts on disk, cut between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import batches_of
from proml_kedro.models.component import Array, Columns, Examples, Input
from proml_kedro.models.deep.data import EncodedFacts, ExampleParts, PackedExamples, append, keep
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.labels import labels_of, weight_of
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.stand_ins import MetBins
from proml_kedro.models.deep.unknown import UnknownCounts

Ints = npt.NDArray[np.int64]


def pack(
    examples: Sequence[Examples],
    inputs: Sequence[Input],
    heads: Sequence[tuple[Head, HeadState]],
    preprocess: Preprocess,
    rows: int,
    folder: Path,
) -> ExampleParts:
    """Encode examples.

    Args:
        examples: One set after the other.
        inputs: What the network reads of them.
        heads: What is learned, for the labels, each with what it learned before training.
        preprocess: From columns to matrices.
        rows: Largest number of examples in memory at once.
        folder: Where parts are written when there are more examples; it is made when it is needed.
    """
    labels, weight, group = _labels(examples, heads), weight_of(examples).astype(np.float32), _group(examples)
    part_of = parts_of(group if any(head.by_group for head, _ in heads) else np.arange(len(labels)), rows)
    seen = _Seen(preprocess.layout)
    encoded = _encoded(batches_of(examples, inputs), preprocess, seen, weight > 0)
    lengths = np.bincount(part_of).tolist()
    if len(lengths) <= 1:
        numbers, ids = _joined(encoded, len(labels), preprocess.layout)
        return ExampleParts([PackedExamples(numbers, ids, labels, weight, group)], [len(labels)], seen.facts())
    folders = [folder / f"part{number}" for number in range(len(lengths))]
    for number, one in enumerate(folders):
        here = part_of == number
        keep(one, labels[here], weight[here], group[here])
    done = 0
    for numbers, ids in encoded:
        some = part_of[done : done + len(ids)]
        done += len(ids)
        for number in np.unique(some).tolist():
            append(folders[number], numbers[some == number], ids[some == number])
    return ExampleParts(folders, lengths, seen.facts())


def parts_of(group: Array, rows: int) -> Ints:
    """Divide examples into parts of nearly equal length, between groups.

    A group that is larger than a part is cut: its rows are compared in pieces anyway.

    Args:
        group: Shape (n,); equal numbers belong together, whether or not they are neighbours.
        rows: Largest number of examples of a part.

    Returns:
        The part of each row, int64 of shape (n,); groups are in the order in which they begin.
    """
    total = len(group)
    if total <= rows:
        return np.zeros(total, np.int64)
    _, pieces = np.unique(group, return_inverse=True)
    pieces = pieces + (pieces.max() + 1) * (_ranks(pieces) // rows)
    _, first, pieces, sizes = np.unique(pieces, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    middles = np.empty(len(sizes))
    middles[order] = np.cumsum(sizes[order]) - sizes[order] / 2
    parts = -(-total // rows)
    while True:  # ends: with 2 * total / rows parts at the latest, none is too long
        _, found = np.unique((middles * parts / total).astype(np.int64), return_inverse=True)
        if np.bincount(found, sizes).max() <= rows:
            return np.asarray(found[pieces], np.int64)
        parts += 1


def _ranks(groups: Ints) -> Ints:
    """Count for each row those of its group before it."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return ranks


def _labels(examples: Sequence[Examples], heads: Sequence[tuple[Head, HeadState]]) -> npt.NDArray[np.float32]:
    origins = np.array([head.origin(learned) for head, learned in heads])
    return np.asarray(labels_of(examples, [head for head, _ in heads]) - origins, np.float32)


def _group(examples: Sequence[Examples]) -> npt.NDArray[np.int64]:
    """Number the groups: equal for rows of one group, different for groups of different sets of examples."""
    found: list[Array] = []
    taken = 0
    for one in examples:
        own = np.zeros(len(one), np.int64) if one.group is None else one.group
        found.append(own + taken)
        taken = int(found[-1].max(initial=taken - 1)) + 1
    return np.concatenate(found)


def _encoded(
    batches: Iterator[Columns], preprocess: Preprocess, seen: _Seen, counts: Array
) -> Iterator[tuple[Array, Array]]:
    """Encode parts; ``counts`` tells of each row of all of them whether it has any weight."""
    done = 0
    for columns in batches:
        numbers, ids = preprocess.encode(columns)
        some = counts[done : done + len(ids)]
        done += len(ids)
        seen.add(*((numbers, ids) if some.all() else (numbers[some], ids[some])))
        yield numbers, ids


def _joined(
    encoded: Iterator[tuple[Array, Array]], rows: int, layout: Layout
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Put all rows into two matrices, without ever holding them twice.

    Raises:
        ValueError: There are fewer rows.
    """
    numbers, ids = np.empty((rows, layout.width), np.float32), np.empty((rows, layout.id_count), np.int32)
    done = 0
    for some_numbers, some_ids in encoded:
        rest = slice(done, done + len(some_ids))
        numbers[rest], ids[rest] = some_numbers, some_ids
        done += len(some_ids)
    if done < rows:
        raise ValueError(f"{rows:,} examples have labels, and {done:,} could be read")
    return numbers, ids


class _Seen:
    """Facts of matrices that come in parts."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._first: list[Array] = []
        self._unknown = UnknownCounts(layout)
        self._met = MetBins(layout)
        self._moved = [np.zeros(layout.width, np.bool_), np.zeros(layout.id_count, np.bool_)]

    def add(self, numbers: Array, ids: Array) -> None:
        if not len(ids):
            return
        self._first = self._first or [numbers[0].copy(), ids[0].copy()]
        for moved, first, values in zip(self._moved, self._first, (numbers, ids), strict=True):
            moved |= (values != first).any(axis=0)
        self._unknown.add(ids)
        self._met.add(ids)

    def facts(self) -> EncodedFacts:
        layout, (numbers, ids) = self._layout, self._moved
        found = [(one.name, numbers[layout.columns_of_numbers([at])]) for at, one in enumerate(layout.numbers)]
        found += [(one.name, numbers[layout.columns_of_vector(at)]) for at, one in enumerate(layout.vectors)]
        found += [(one.name, ids[layout.columns_of_ids(at)]) for at, one in enumerate(layout.categoricals)]
        return EncodedFacts(
            [name for name, moved in found if not moved.any()], self._unknown.shares(), self._met.tables()
        )
