"""What is remembered of a column of numbers: counts by bins, and a few numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from proml_kedro.health.sample import Sample

Numbers = npt.NDArray[np.float64]

_QUANTILES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
_ATOM_SHARE = 0.05  # a single value with half a bin's share or more gets a bin of its own
_MAGNITUDES = (0.25, 0.5, 0.75, 0.95)
_LEAST_MAGNITUDES = 30
_SPIKE_SHARE = 0.5
_LEAST_REST = 100
_LEAST_IDS = 100
FAR = 3.0
"""Times the width of the range, beyond it, at which no season and no storm brings numbers."""
EXTREME = 2
"""The range reaches to the second smallest and second largest number: one outlier does not widen it."""


class Binned(BaseModel):
    """Numbers counted between edges.

    Attributes:
        edges: Quantiles, each once, ascending; a value equal to an edge belongs to the bin above it.
        atoms: For each edge whether that very value has a bin of its own, because many rows carry it.
        counts: Rows in each bin, those of the edges' own bins in between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edges: tuple[float, ...]
    atoms: tuple[bool, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, ordered: Numbers) -> Binned:
        """Choose the edges, and count by them.

        Args:
            ordered: Finite numbers, ascending.
        """
        # Quantiles that are values themselves: bins then do not depend on the unit, to the last row.
        positions = np.ceil(len(ordered) * np.array(_QUANTILES)).astype(int) - 1
        edges = np.unique(ordered[positions]) if len(ordered) else ordered
        share = np.searchsorted(ordered, edges, "right") - np.searchsorted(ordered, edges, "left")
        atoms = share >= max(2.0, _ATOM_SHARE * len(ordered))
        empty = cls(edges=tuple(edges.tolist()), atoms=tuple(atoms.tolist()), counts=())
        return empty.model_copy(update={"counts": tuple(empty.count(ordered).tolist())})

    def count(self, ordered: Numbers) -> npt.NDArray[np.int64]:
        """Count finite numbers, ascending, in each bin."""
        edges, atoms = np.array(self.edges), np.array(self.atoms, dtype=bool)
        # Where each bin ends in the sorted values: below every edge, and past those that have a bin of their own.
        below, past = np.searchsorted(ordered, edges, "left"), np.searchsorted(ordered, edges, "right")
        ends = np.sort(np.concatenate([below, past[atoms], [len(ordered)]]))
        return np.diff(ends, prepend=0).astype(np.int64)

    def places(self, values: Numbers) -> npt.NDArray[np.int64]:
        """Number the bin of each value; -1 where it is not finite; shape (n,)."""
        edges, atoms = np.array(self.edges), np.array(self.atoms, dtype=bool)
        below = np.searchsorted(edges, values, "right")  # at or above so many edges
        before = np.concatenate([[0], np.cumsum(atoms)])
        place = below + before[below]
        at_edge = edges[np.maximum(below - 1, 0)] == values if len(edges) else np.zeros(len(values), bool)
        on_atom = at_edge & (atoms[np.maximum(below - 1, 0)] if len(edges) else False)
        return np.where(np.isfinite(values), place - on_atom, -1)


class NumericProfile(Binned):
    """A column of numbers.

    Attributes:
        rows: Number of rows.
        nulls: Rows without a finite number.
        infinite: Rows among them with an infinite one.
        magnitudes: Quantiles of the absolute numbers that are not zero.
        median: None without a number.
        low: Second smallest number.
        high: Second largest number.
        distinct: 0, 1, or 2 for more different values.
        is_single: Whether the numbers were of single precision. Others are rounded to it before they are counted: else
            0.1 in double precision would not be the 0.1 of the reference.
        is_id_like: Whether each row has a whole number of its own, so that what comes next is new by its nature.
        spike: The number that at least half of the rows carry; None without one.
        rest: The other numbers, by bins of their own; None where there are hardly any.
    """

    kind: Literal["numeric"] = "numeric"
    rows: int
    nulls: int
    infinite: int = 0
    magnitudes: tuple[float, ...]
    median: float | None
    low: float | None = None
    high: float | None = None
    distinct: int = 2
    is_single: bool = False
    is_id_like: bool = False
    spike: float | None = None
    rest: Binned | None = None

    @classmethod
    def of(cls, values: Numbers, is_single: bool = False) -> NumericProfile:
        """Profile numbers, shape (n,), NaN for null.

        Args:
            values: The numbers.
            is_single: Whether they were of single precision.
        """
        ordered = np.sort(values[np.isfinite(values)])
        binned = Binned.of(ordered)
        spike = _spike(binned)
        others = _without(ordered, spike)
        return cls(
            **binned.model_dump(),
            rows=len(values),
            nulls=len(values) - len(ordered),
            infinite=_infinite(values, len(ordered)),
            magnitudes=_magnitudes(ordered),
            median=_median(ordered),
            low=float(ordered[min(EXTREME, len(ordered)) - 1]) if len(ordered) else None,
            high=float(ordered[-min(EXTREME, len(ordered))]) if len(ordered) else None,
            distinct=_distinct(ordered),
            is_single=is_single,
            is_id_like=_is_id_like(ordered),
            spike=spike,
            rest=Binned.of(others) if spike is not None and len(others) >= _LEAST_REST else None,
        )

    def sample_of(self, values: Numbers) -> Sample:
        """Count other values of the column by the bins of this profile."""
        values = self._rounded(values)
        ordered = np.sort(values[np.isfinite(values)])
        return Sample(
            rows=len(values),
            nulls=len(values) - len(ordered),
            infinite=_infinite(values, len(ordered)),
            counts=self.count(ordered),
            magnitudes=_magnitudes(ordered),
            median=_median(ordered),
            outside=self._beyond(ordered, 0.0),
            far=self._beyond(ordered, FAR),
            distinct=_distinct(ordered),
            rest=_rest(self.rest, _without(ordered, self.spike)) if self.rest else None,
        )

    def _beyond(self, ordered: Numbers, widths: float) -> int:
        """Count numbers, ascending, that lie beyond the range by so many times its width."""
        if self.low is None or self.high is None:
            return 0
        with np.errstate(over="ignore"):
            far = widths * (np.float64(self.high) - self.low) if widths else 0.0
            below = int(np.searchsorted(ordered, self.low - far, "left"))
            return below + len(ordered) - int(np.searchsorted(ordered, self.high + far, "right"))

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.counts)

    def bins_of(self, values: Numbers) -> npt.NDArray[np.int64]:
        """Number the bin of each value; -1 for none; shape (n,)."""
        return self.places(self._rounded(values))

    def _rounded(self, values: Numbers) -> Numbers:
        if not self.is_single:
            return values
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)

    @property
    def sample(self) -> Sample:
        """What the profile was made from."""
        rest = None
        if self.rest is not None:
            rest = Sample(sum(self.rest.counts), 0, 0, np.array(self.rest.counts, np.int64))
        counts = np.array(self.counts, np.int64)
        return Sample(
            self.rows,
            self.nulls,
            self.infinite,
            counts,
            self.magnitudes,
            self.median,
            distinct=self.distinct,
            rest=rest,
        )


def _rest(binned: Binned, others: Numbers) -> Sample:
    return Sample(len(others), 0, 0, binned.count(others))


def _spike(binned: Binned) -> float | None:
    """Find the value that at least half of the rows carry."""
    total, place = sum(binned.counts), 0
    for edge, is_atom in zip(binned.edges, binned.atoms, strict=True):
        place += 1  # past the bin below the edge
        if is_atom:
            if binned.counts[place] >= _SPIKE_SHARE * total:
                return edge
            place += 1
    return None


def _without(ordered: Numbers, spike: float | None) -> Numbers:
    return ordered if spike is None else ordered[ordered != spike]


def _distinct(ordered: Numbers) -> int:
    return min(len(ordered), 1 if len(ordered) and ordered[0] == ordered[-1] else 2)


def _median(ordered: Numbers) -> float | None:
    return float(ordered[len(ordered) // 2]) if len(ordered) else None


def _infinite(values: Numbers, finite: int) -> int:
    return int(np.isinf(values).sum()) if finite < len(values) else 0


def _is_id_like(ordered: Numbers) -> bool:
    if len(ordered) < _LEAST_IDS or not (ordered[1:] > ordered[:-1]).all():
        return False
    return bool((ordered == np.floor(ordered)).all())


def _magnitudes(ordered: Numbers) -> tuple[float, ...]:
    sizes = np.abs(ordered[ordered != 0])
    if len(sizes) < _LEAST_MAGNITUDES:
        return ()
    return tuple(np.quantile(sizes, _MAGNITUDES).tolist())
