"""Examples as a network reads them: packed into matrices, in memory or, when there are too many, in parts on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array


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


@dataclass(frozen=True)
class EncodedFacts:
    """What was seen of all examples while they were encoded.

    Attributes:
        same: Inputs whose columns have one value in all of them.
        unknown: Share of unknown ids by categorical of the layout.
        met: Ids that hashes became, rising, by table; int32.
    """

    same: Sequence[str]
    unknown: Sequence[float]
    met: Mapping[str, Array]


class ExampleParts:
    """Packed examples, as one part in memory or several on disk.

    Args:
        parts: One part, or the folders of several, which :func:`keep` and :func:`append` filled.
        lengths: Number of examples of each part.
        facts: Of all of them.

    Attributes:
        lengths: Number of examples of each part.
        facts: Of all of them.
    """

    def __init__(self, parts: Sequence[PackedExamples | Path], lengths: Sequence[int], facts: EncodedFacts) -> None:
        self._parts = parts
        self.facts = facts
        self.lengths = tuple(lengths)

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def are_kept(self) -> bool:
        """Tell whether they stay in memory."""
        return isinstance(self._parts[0], PackedExamples)

    def __iter__(self) -> Iterator[PackedExamples]:
        """Read the parts, one after the other."""
        return (self[position] for position in range(len(self._parts)))

    def __getitem__(self, position: int) -> PackedExamples:
        part = self._parts[position]
        return part if isinstance(part, PackedExamples) else _read(part)


def keep(folder: Path, labels: Array, weight: Array, group: Array) -> None:
    """Make the folder of a part with all but its matrices, which :func:`append` adds."""
    folder.mkdir(parents=True)
    np.savez(folder / "rest.npz", labels=labels, weight=weight, group=group)


def append(folder: Path, numbers: Array, ids: Array) -> None:
    """Add rows to the matrices of a part."""
    for name, matrix in (("numbers", numbers), ("ids", ids)):
        with (folder / f"{name}.bin").open("ab") as file:
            file.write(np.ascontiguousarray(matrix).data)


def _read(folder: Path) -> PackedExamples:
    with np.load(folder / "rest.npz", allow_pickle=False) as arrays:
        rest = {name: arrays[name] for name in arrays.files}
    rows = len(rest["labels"])
    numbers = np.fromfile(folder / "numbers.bin", np.float32).reshape(rows, -1)
    return PackedExamples(numbers, np.fromfile(folder / "ids.bin", np.int32).reshape(rows, -1), **rest)
