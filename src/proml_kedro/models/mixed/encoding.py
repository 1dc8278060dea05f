"""From columns to what the equations take: standardised numbers, and entities by number."""

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
    """How one number is standardised.

    Attributes:
        mean: Over the training rows; a missing value takes its place.
        deviation: Standard deviation; 1 for a constant.
        missing: Whether some training rows lack it, so that lacking it has a coefficient.
        constant: Whether it says nothing.
    """

    mean: float
    deviation: float
    missing: bool
    constant: bool

    @classmethod
    def of(cls, values: Array, weight: Array) -> Scale:
        """The scale of a column whose rows have positive weights; NaN and infinity count as missing."""
        known = np.isfinite(values)
        if not known.any():
            return cls(0.0, 1.0, False, True)
        numbers, weight = values[known].astype(np.float64), weight[known]
        mean = float(np.average(numbers, weights=weight))
        deviation = float(np.sqrt(np.average((numbers - mean) ** 2, weights=weight)))
        constant = deviation <= 1e-7 * abs(mean)  # what is left is rounding
        return cls(mean, 1.0 if constant else deviation, not known.all(), constant)

    def apply(self, values: Array) -> npt.NDArray[np.float64]:
        """Standardised, 0 where missing; shape (n,)."""
        scaled = (values.astype(np.float64) - self.mean) / self.deviation
        return np.where(np.isfinite(scaled), scaled, 0.0)


@dataclass(frozen=True)
class Names:
    """Who each row is about, every name once.

    Attributes:
        distinct: The names that occur, in the order in which they do first.
        codes: int32 of shape (n,): the place of each row's name among them, -1 where it is missing.
    """

    distinct: Sequence[str]
    codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Self:
        """The names in a column."""
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        numbers: dict[str | None, int] = defaultdict(count().__next__)
        codes = np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))
        missing = numbers.pop(None, None)
        if missing is not None:
            codes = np.where(codes == missing, -1, codes - (codes > missing)).astype(np.int32)
        return cls([name for name in numbers if name is not None], codes)

    def beside(self, other: Names) -> Names:
        """Both names of each row as one, missing where one of them is."""
        pairs = self.codes.astype(np.int64) * len(other.distinct) + other.codes
        pairs[(self.codes < 0) | (other.codes < 0)] = -1
        found, codes = np.unique(pairs, return_inverse=True)
        missing = int(found[:1].sum() < 0)  # -1 is the first of them
        places = (one.tolist() for one in divmod(found[missing:], max(len(other.distinct), 1)))
        distinct = [f"{self.distinct[a]}{SEPARATOR}{other.distinct[b]}" for a, b in zip(*places, strict=True)]
        return Names(distinct, (codes - missing).astype(np.int32))


class Levels:
    """Known entities, numbered from 0 in the order of their UTF-8 bytes.

    Args:
        keys: Sorted fixed-width bytes, shape (levels,). They may be memory-mapped: only what is looked up is read.
    """

    def __init__(self, keys: Array) -> None:
        self.keys = keys

    @classmethod
    def of(cls, names: Names, least: int = 1) -> Levels:
        """The names of at least so many rows."""
        known = _as_bytes(names.distinct)
        if least > 1:
            known = known[np.bincount(names.codes[names.codes >= 0], minlength=len(known)) >= least]
        return cls(np.sort(known))

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, place: int) -> str:
        """The value with this number."""
        return bytes(self.keys[place]).decode(errors="surrogateescape")

    def and_those(self, other: Levels) -> Levels:
        """The levels of both."""
        return Levels(np.union1d(self.keys, other.keys))

    def places(self, keys: Array) -> npt.NDArray[np.int64]:
        """Numbers of these keys, -1 for unknown ones; shape (keys,)."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        # Cut to the width of those that are known, without which all of these would be copied to be wider.
        narrow = keys.astype(self.keys.dtype)
        found = np.minimum(np.searchsorted(self.keys, narrow), len(self.keys) - 1)
        return np.where(self.keys[found] == keys, found, -1)

    def encode(self, names: Names) -> npt.NDArray[np.int32]:
        """The number of each row's name, -1 for missing and for unknown ones; shape (n,)."""
        keys = _as_bytes(names.distinct)
        # Looking names up in their order touches neighbouring pages of a memory-mapped array one after the other.
        order = np.argsort(keys)
        places = np.full(len(keys) + 1, -1, np.int32)  # the last one is for -1
        places[order] = self.places(keys[order])
        return places[names.codes]


def _as_bytes(names: Sequence[str]) -> Array:
    # A word of a command line that is no UTF-8 holds bytes as surrogates: an entity that is looked up and not known.
    encoded = [name.encode(errors="surrogateescape") for name in names]
    return np.array(encoded, dtype=bytes) if names else np.zeros(0, "S1")


def combine(parts: Sequence[Names]) -> Names:
    """The entity of each row: one column, or several, whose combinations are the entities."""
    return reduce(Names.beside, parts)
