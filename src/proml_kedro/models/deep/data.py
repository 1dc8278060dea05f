"""Examples as a network reads them: packed into matrices, in memory or, when there are too many, in parts on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns, Examples, Input
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.labels import labels_of, weight_of
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.preprocess import Preprocess

_READ = 65_536  # rows read and encoded at once


@dataclass(frozen=True)
class PackedExamples:
    """Examples encoded as a network reads them.

    Attributes:
        numbers: float32 of shape (n, width).
        ids: int32 of shape (n, columns).
        labels: float32 of shape (n, heads), each less the origin of its head, NaN where not known.
        weight: float32 of shape (n,).
        group: int64 of shape (n,); empty when there are no groups.
    """

    numbers: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    group: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class ExampleParts:
    """Packed examples, as one part in memory or several on disk.

    Args:
        parts: One part, or the files of several.
        lengths: Number of examples of each part.
        same: Inputs whose columns have one value in all examples.

    Attributes:
        lengths: Number of examples of each part.
        same: Inputs whose columns have one value in all examples.
    """

    def __init__(self, parts: Sequence[PackedExamples | Path], lengths: Sequence[int], same: Sequence[str]) -> None:
        self._parts = parts
        self.same = tuple(same)
        self.lengths = tuple(lengths)

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def are_kept(self) -> bool:
        """Tell whether they stay in memory."""
        return isinstance(self._parts[0], PackedExamples)

    def __iter__(self) -> Iterator[PackedExamples]:
        """Read the parts in the order of the examples."""
        return (self[position] for position in range(len(self._parts)))

    def __getitem__(self, position: int) -> PackedExamples:
        part = self._parts[position]
        return part if isinstance(part, PackedExamples) else _read(part)


def batches_of(examples: Sequence[Examples], inputs: Sequence[Input]) -> Iterator[Columns]:
    """Read the inputs, some rows at a time; from where they are stored if possible, so that they need no memory."""
    for one in examples:
        if one.source is not None:
            yield from one.source.batches(inputs, _READ)
        else:
            columns = {each.name: one.columns[each.name] for each in inputs}
            for start in range(0, len(one), _READ):
                yield {name: values[start : start + _READ] for name, values in columns.items()}


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
    total = len(labels)
    files: list[Path] = []
    lengths: list[int] = []
    seen = _Seen(preprocess.layout)
    for numbers, ids in _gathered(batches_of(examples, inputs), preprocess, min(rows, total)):
        seen.add(numbers, ids)
        rest = slice(sum(lengths), sum(lengths) + len(ids))
        part = PackedExamples(numbers, ids, labels[rest], weight[rest], group[rest])
        lengths.append(len(part))
        if len(part) == total:
            return ExampleParts([part], lengths, seen.same())
        folder.mkdir(parents=True, exist_ok=True)
        files.append(folder / f"part{len(files)}.npz")
        np.savez(files[-1], **vars(part))
    return ExampleParts(files, lengths, seen.same())


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


def _gathered(
    batches: Iterator[Columns], preprocess: Preprocess, rows: int
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]]:
    """Regroup encoded rows into matrices of exactly ``rows`` rows; the last has those left over."""
    layout = preprocess.layout
    filled, numbers, ids = 0, np.empty((0, layout.width), np.float32), np.empty((0, layout.id_count), np.int32)
    for columns in batches:
        found_numbers, found_ids = preprocess.encode(columns)
        start = 0
        while start < len(found_ids):
            if not len(ids):
                numbers, ids = np.empty((rows, layout.width), np.float32), np.empty((rows, layout.id_count), np.int32)
            count = min(rows - filled, len(found_ids) - start)
            numbers[filled : filled + count] = found_numbers[start : start + count]
            ids[filled : filled + count] = found_ids[start : start + count]
            filled, start = filled + count, start + count
            if filled == rows:
                yield numbers, ids
                filled, numbers, ids = 0, numbers[:0], ids[:0]
    if filled:
        yield numbers[:filled], ids[:filled]


class _Seen:
    """Which columns of matrices that come in parts have more than one value."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._first: list[Array] = []
        self._moved = [np.zeros(layout.width, np.bool_), np.zeros(layout.id_count, np.bool_)]

    def add(self, numbers: Array, ids: Array) -> None:
        self._first = self._first or [numbers[0].copy(), ids[0].copy()]
        for moved, first, values in zip(self._moved, self._first, (numbers, ids), strict=True):
            moved |= (values != first).any(axis=0)

    def same(self) -> list[str]:
        layout, (numbers, ids) = self._layout, self._moved
        found = [(one.name, numbers[layout.columns_of_numbers([at])]) for at, one in enumerate(layout.numbers)]
        found += [(one.name, numbers[layout.columns_of_vector(at)]) for at, one in enumerate(layout.vectors)]
        found += [(one.name, ids[layout.columns_of_ids(at)]) for at, one in enumerate(layout.categoricals)]
        return [name for name, moved in found if not moved.any()]


def _read(file: Path) -> PackedExamples:
    with np.load(file, allow_pickle=False) as arrays:
        return PackedExamples(**{name: arrays[name] for name in arrays.files})
