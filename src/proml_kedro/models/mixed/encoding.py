"""Encoding of columns: numbers are standardised, entities are numbered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from typing import Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

SEPARATOR = "\x1f"  # between the parts of a combined entity


@dataclass(frozen=True)
class Scale:
    """Standardisation of one number.

    >>> Scale.of(np.array([1.0, 3.0, np.nan]), np.ones(3))
    Scale(mean=2.0, deviation=1.0, missing=True, constant=False)

    Attributes:
        mean: Mean over the training rows, which replaces missing values.
        deviation: Standard deviation; 1 for a constant.
        missing: Whether the number is missing in some training rows; being missing then has a coefficient.
        constant: Whether all training rows have the same value.
    """

    mean: float
    deviation: float
    missing: bool
    constant: bool

    @classmethod
    def of(cls, values: Array, weight: Array) -> Scale:
        """Measure a column; NaN and infinity count as missing.

        Args:
            values: Shape (n,).
            weight: Shape (n,), positive.
        """
        known = np.isfinite(values)
        if not known.any():
            return cls(0.0, 1.0, False, True)
        numbers, weight = values[known].astype(np.float64), weight[known]
        mean = float(np.average(numbers, weights=weight))
        deviation = float(np.sqrt(np.average((numbers - mean) ** 2, weights=weight)))
        constant = deviation <= 1e-7 * abs(mean)  # what is left is rounding
        return cls(mean, 1.0 if constant else deviation, not known.all(), constant)

    @property
    def size(self) -> float:
        """Root mean square, by which a number is divided where it is not centred."""
        return float(np.hypot(self.mean, 0.0 if self.constant else self.deviation)) or 1.0

    def apply(self, values: Array) -> npt.NDArray[np.float64]:
        """Standardise values, and replace missing ones by 0; shape (n,)."""
        scaled = (values.astype(np.float64) - self.mean) / self.deviation
        return np.where(np.isfinite(scaled), scaled, 0.0)

    def apply_uncentred(self, values: Array) -> npt.NDArray[np.float64]:
        """Divide values by their root mean square, and replace missing ones by the mean; shape (n,)."""
        numbers = values.astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, self.mean) / self.size


@dataclass(frozen=True)
class Names:
    """Names in a column, each stored once.

    >>> found = Names.of(["b", None, "a", "b"])
    >>> list(found.distinct), found.codes.tolist()
    (['b', 'a'], [0, -1, 1, 0])

    Attributes:
        distinct: The names, in the order of their first row.
        codes: int32 of shape (n,): position of each row's name in ``distinct``, -1 where it is missing.
    """

    distinct: Sequence[str]
    codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Self:
        """Number the names in a column of text, where None is a missing name."""
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        numbers: dict[str | None, int] = defaultdict(count().__next__)
        codes = np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))
        missing = numbers.pop(None, None)
        if missing is not None:
            codes = np.where(codes == missing, -1, codes - (codes > missing)).astype(np.int32)
        return cls([name for name in numbers if name is not None], codes)

    def beside(self, other: Names) -> Names:
        """Combine the names of each row into one, missing where one of them is."""
        pairs = self.codes.astype(np.int64) * len(other.distinct) + other.codes
        pairs[(self.codes < 0) | (other.codes < 0)] = -1
        found, codes = np.unique(pairs, return_inverse=True)
        missing = int(found[:1].sum() < 0)  # -1 is the first of them
        places = (one.tolist() for one in divmod(found[missing:], max(len(other.distinct), 1)))
        distinct = [f"{self.distinct[a]}{SEPARATOR}{other.distinct[b]}" for a, b in zip(*places, strict=True)]
        return Names(distinct, (codes - missing).astype(np.int32))


class Levels:
    """Known entities, numbered from 0 in the order of their UTF-8 bytes.

    >>> levels = Levels.of(Names.of(["b", "a", "b"]))
    >>> levels.encode(Names.of(["a", "b", "c", None])).tolist()
    [0, 1, -1, -1]

    Args:
        keys: Sorted fixed-width bytes, shape (levels,). When memory-mapped, only the pages that are looked up are read.
    """

    def __init__(self, keys: Array) -> None:
        self.keys = keys

    @classmethod
    def of(cls, names: Names, least: int = 1) -> Levels:
        """Collect the names that at least ``least`` rows have."""
        known = _as_bytes(names.distinct)
        if least > 1:
            known = known[np.bincount(names.codes[names.codes >= 0], minlength=len(known)) >= least]
        return cls(np.sort(known))

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, place: int) -> str:
        """Return the name of the level with this number."""
        return bytes(self.keys[place]).decode(errors="surrogateescape")

    def union(self, other: Levels) -> Levels:
        """Return the union of both sets of levels."""
        return Levels(np.union1d(self.keys, other.keys))

    def places(self, keys: Array) -> npt.NDArray[np.int64]:
        """Look up the numbers of keys, -1 for unknown ones; shape (keys,)."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        # Cut to the width of the known keys: otherwise all of these would be copied into wider ones.
        narrow = keys.astype(self.keys.dtype)
        found = np.minimum(np.searchsorted(self.keys, narrow), len(self.keys) - 1)
        return np.where(self.keys[found] == keys, found, -1)

    def encode(self, names: Names) -> npt.NDArray[np.int32]:
        """Look up the number of each row's name, -1 for missing and for unknown ones; shape (n,)."""
        keys = _as_bytes(names.distinct)
        # Looking names up in their order touches neighbouring pages of a memory-mapped array one after the other.
        order = np.argsort(keys)
        places = np.full(len(keys) + 1, -1, np.int32)  # the last one is for -1
        places[order] = self.places(keys[order])
        return places[names.codes]


def _as_bytes(names: Sequence[str]) -> Array:
    # A word of a command line that is not UTF-8 holds its bytes as surrogates; as an entity it is unknown.
    encoded = [name.encode(errors="surrogateescape") for name in names]
    return np.array(encoded, dtype=bytes) if names else np.zeros(0, "S1")


def combine(parts: Sequence[Names]) -> Names:
    """Name the entity of each row by one column, or by the combination of several."""
    return reduce(Names.beside, parts)
