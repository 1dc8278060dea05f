"""First pass: divides rows into files, each with all rows of a random share of the entities.

The hash of an entity decides its part. So its rows come together without a sort, each part fits into the processor's
cache, and the first few parts are a random sample of the entities. Only one chunk of rows is in memory at a time.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.streamed.storage.keys import Words, hash_of, words_of

_CHUNK = 1 << 20  # rows in memory
_ROWS_A_PART = 400_000
_MOST_PARTS = 1024

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RowBatch:
    """Batch of n rows.

    Attributes:
        names: ``pyarrow.Array`` of text or whole numbers: entity of each row.
        numbers: float32 of shape (k, n), see :class:`.read.RowSchema`; a weight is the last of them.
    """

    names: Any
    numbers: Floats


@dataclass
class ColumnMoments:
    """Moments of the finite values of one column; a row of weight a counts as a rows.

    Attributes:
        count: Weight of the values.
        mean: Mean.
        squares: Sum of squared distances from the mean.
    """

    count: float = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, count: float, mean: float, squares: float) -> None:
        """Add the moments of further values (Chan, Golub and LeVeque, 1979).

        >>> moments = ColumnMoments()
        >>> moments.add(1, 2.0, 0.0), moments.add(1, 4.0, 0.0)
        (None, None)
        >>> moments
        ColumnMoments(count=2, mean=3.0, squares=2.0)
        """
        if count:
            total, apart = self.count + count, mean - self.mean
            self.squares += squares + apart**2 * self.count * count / total
            self.mean += apart * count / total
            self.count = total


@dataclass
class Partition:
    """Rows divided into parts.

    Attributes:
        folder: Folder of the files: ``<part>.keys`` and ``<part>.numbers`` for each part, and ``<part>.nobody`` with
            the numbers of its share of the rows without an entity.
        parts: Number of parts.
        width: Words of a name.
        weighted: Whether the last column of numbers is a weight.
        longest: Bytes of the longest name.
        rows: Number of rows, those without an entity included.
        moments: Moments of each column of numbers.
        origins: What was taken off offset and label, see :class:`.read.RowSchema`.
    """

    folder: Path
    parts: int
    width: int
    weighted: bool = False
    longest: int = 0
    rows: int = 0
    moments: list[ColumnMoments] = field(default_factory=list)
    origins: Sequence[float] = (0.0, 0.0)

    def read(self, part: int) -> tuple[Words, Floats, Floats]:
        """Read the names and numbers of the rows of a part, and the numbers of its rows without an entity.

        The shapes are (n, width), (n, columns) and (m, columns).
        """
        words, numbers, nobody = (
            np.fromfile(file, kind) if file.exists() else np.zeros(0, kind)
            for file, kind in zip(self._files(part), (np.uint64, np.float32, np.float32), strict=True)
        )
        columns = len(self.moments)
        return words.reshape(-1, self.width), numbers.reshape(-1, columns), nobody.reshape(-1, columns)

    def remove(self, part: int) -> None:
        """Remove the files of a part, if they are still there."""
        for file in self._files(part):
            file.unlink(missing_ok=True)

    def _files(self, part: int) -> list[Path]:
        return [self.folder / f"{part}.{kind}" for kind in ("keys", "numbers", "nobody")]


class _LongerNamesError(Exception):
    def __init__(self, longest: int) -> None:
        super().__init__(longest)
        self.longest = longest


def parts_for(rows: int) -> int:
    """Choose the number of parts, so that each has about 400,000 rows.

    >>> parts_for(10), parts_for(4_000_000)
    (1, 10)
    """
    return max(1, min(_MOST_PARTS, round(rows / _ROWS_A_PART)))


def partition(
    read: Callable[[], Iterable[RowBatch]], columns: int, weighted: bool, parts: int, folder: Path
) -> Partition:
    """Write each row to the file of its entity's part.

    Args:
        read: Returns the batches; it is called again if a name is longer than was provided for.
        columns: Columns of numbers in a batch, the last one a weight if ``weighted``.
        weighted: Whether rows have weights.
        parts: Number of parts.
        folder: An empty folder.
    """
    width = 1
    while True:
        writer = _Writer(Partition(folder, parts, width, weighted, moments=[ColumnMoments() for _ in range(columns)]))
        try:
            return writer.write(read())
        except _LongerNamesError as error:
            for file in folder.iterdir():
                file.unlink()
            width = -(-error.longest // 8)


class _Writer:
    """Writer that collects rows to a chunk, and appends them to the files of their parts."""

    def __init__(self, into: Partition) -> None:
        self._into = into
        columns = len(into.moments)
        self._words, self._known = np.empty((_CHUNK, into.width), np.uint64), np.empty(_CHUNK, np.bool_)
        self._numbers = np.empty((columns, _CHUNK), np.float32)
        self._sorted_words, self._sorted_numbers = np.empty_like(self._words), np.empty((_CHUNK, columns), np.float32)
        self._filled = 0

    def write(self, batches: Iterable[RowBatch]) -> Partition:
        for batch in batches:
            done, rows = 0, len(batch.names)
            while done < rows:
                taken = min(rows - done, _CHUNK - self._filled)
                self._take(batch, slice(done, done + taken))
                done += taken
                if self._filled == _CHUNK:
                    self._flush()
        self._flush()
        return self._into

    def _take(self, batch: RowBatch, rows: slice) -> None:
        words, known, longest = words_of(batch.names[rows], self._into.width)
        if longest > 8 * self._into.width:
            raise _LongerNamesError(longest)
        self._into.longest = max(self._into.longest, longest)
        here = slice(self._filled, self._filled + len(words))
        self._words[here], self._known[here], self._numbers[:, here] = words, known, batch.numbers[:, rows]
        self._filled = here.stop

    def _flush(self) -> None:
        into, count = self._into, self._filled
        weight = self._numbers[-1, :count] if into.weighted else None
        for moments, column in zip(into.moments, self._numbers, strict=True):
            moments.add(*measure(column[:count], weight))
        starts = np.zeros(2 * into.parts + 1, np.int64)
        scatter(
            self._words[:count], self._known[:count], self._numbers, starts, self._sorted_words, self._sorted_numbers
        )
        for part in range(into.parts):
            if starts[part + 1] > starts[part]:
                rows = slice(starts[part], starts[part + 1])
                _append(into.folder / f"{part}.keys", self._sorted_words[rows])
                _append(into.folder / f"{part}.numbers", self._sorted_numbers[rows])
            nobody = slice(starts[into.parts + part], starts[into.parts + part + 1])
            if nobody.stop > nobody.start:
                _append(into.folder / f"{part}.nobody", self._sorted_numbers[nobody])
        into.rows += count
        self._filled = 0


def _append(file: Path, values: Any) -> None:
    with file.open("ab") as target:
        target.write(values.data)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # NaN and infinity stay what they are
def measure(values, weight):
    """Compute the weight of the finite values, their mean, and the sum of squared distances from it.

    Without ``weight`` each value counts as one, and the compiler removes the branches.
    """
    count, total = 0.0, 0.0
    for i in range(values.size):
        a = 1.0 if weight is None else float(weight[i])
        finite = abs(values[i]) < np.inf
        count += a if finite else 0.0
        total += a * values[i] if finite else 0.0
    mean = total / max(count, 1e-300)
    squares = 0.0
    for i in range(values.size):
        a = 1.0 if weight is None else float(weight[i])
        apart = values[i] - mean
        squares += a * apart * apart if abs(values[i]) < np.inf else 0.0
    return count, mean, squares


@numba.njit(cache=True, nogil=True)
def scatter(words, known, numbers, starts, sorted_words, sorted_numbers) -> None:
    """Sort rows by part, and set ``starts``, shape (2 parts + 1,), to the first row of each.

    The part is given by the high bits of the hash of the name. Rows without a name come after those of the last part,
    and are assigned to the parts in turn.
    """
    parts = starts.size // 2
    part = np.empty(known.size, np.int32)
    for i in range(known.size):
        high = hash_of(words, i) >> np.uint64(32)
        part[i] = (high * np.uint64(parts)) >> np.uint64(32) if known[i] else parts + i % parts
        starts[part[i] + 1] += 1
    for p in range(2 * parts):
        starts[p + 1] += starts[p]
    place = starts[:-1].copy()
    for i in range(known.size):
        at = place[part[i]]
        place[part[i]] += 1
        for k in range(words.shape[1]):
            sorted_words[at, k] = words[i, k]
        for k in range(numbers.shape[0]):
            sorted_numbers[at, k] = numbers[k, i]
