"""From columns to what the equations take: standardised numbers, and entities by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns

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


class Levels:
    """Known entities, numbered from 0 in the order of their UTF-8 bytes.

    Args:
        keys: Sorted fixed-width bytes, shape (levels,). They may be memory-mapped: only what is looked up is read.
    """

    def __init__(self, keys: Array) -> None:
        self.keys = keys

    @classmethod
    def of(cls, values: Sequence[str | None], least: int = 1) -> Levels:
        """The values that occur at least so many times."""
        counts = Counter(values) if least > 1 else dict.fromkeys(values, 1)
        known = sorted(value.encode() for value, count in counts.items() if value is not None and count >= least)
        return cls(np.array(known, dtype=bytes) if known else np.zeros(0, "S1"))

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, place: int) -> str:
        """The value with this number."""
        return bytes(self.keys[place]).decode()

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

    def encode(self, values: Sequence[str | None]) -> npt.NDArray[np.int32]:
        """Numbers of the values, -1 for missing and for unknown ones; shape (n,)."""
        # Looking names up in their order touches neighbouring pages of a memory-mapped array one after the other.
        distinct: list[str] = sorted(set(values) - {None})  # type: ignore[arg-type]
        places = self.places(np.array([value.encode() for value in distinct], dtype=bytes)).tolist()
        codes: dict[str | None, int] = dict(zip(distinct, places, strict=True))
        codes[None] = -1
        return np.fromiter(map(codes.__getitem__, values), np.int32, len(values))


def combine(columns: Columns, names: Sequence[str]) -> list[str | None]:
    """The entity of each row: a categorical column, or several joined, missing where one of them is."""
    if len(names) == 1:
        found: list[str | None] = columns[names[0]].tolist()
        return found
    parts = zip(*(columns[name] for name in names), strict=True)
    return [None if None in part else SEPARATOR.join(part) for part in parts]
