"""What is remembered of one column: counts by bins, and a few numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from proml_kedro.health.statistics import Counts

_BINS = 10
_ATOM_SHARE = 0.5 / _BINS  # a single value with half a bin's share or more gets a bin of its own
_MAGNITUDES = (0.25, 0.5, 0.75, 0.95)
_LEAST_MAGNITUDES = 30
_KEPT_SHARE = 0.01
_KEPT_CATEGORIES = 50
_KNOWN_CATEGORIES = 10_000
_ID_LIKE = 0.1


@dataclass(frozen=True)
class Sample:
    """A column's values, counted by the bins of a profile.

    Attributes:
        rows: Number of rows.
        nulls: Rows without a value; a number that is not finite counts as none.
        infinite: Rows among the nulls with an infinite number.
        counts: Rows with a value in each bin.
        magnitudes: Quantiles of the absolute numbers that are not zero; empty for categories.
        median: Of the numbers; None without any, and for categories.
        new: Rows with a category that the profile does not know.
    """

    rows: int
    nulls: int
    infinite: int
    counts: Counts
    magnitudes: tuple[float, ...] = ()
    median: float | None = None
    new: int = 0

    @property
    def values(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def new_share(self) -> float:
        """Share of the values that are categories which the profile does not know."""
        return self.new / self.values if self.values else 0.0

    @property
    def null_share(self) -> float:
        """Share of rows without a value."""
        return self.nulls / self.rows if self.rows else 0.0


class _Profile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    nulls: int
    infinite: int = 0
    counts: tuple[int, ...]
    unseen: float = 0.0

    @property
    def is_id_like(self) -> bool:
        """Whether values hardly repeat, so that a new one tells nothing."""
        return False


class NumericProfile(_Profile):
    """A column of numbers.

    Attributes:
        edges: Deciles, each once, ascending; a value equal to an edge belongs to the bin above it.
        atoms: For each edge whether that very value has a bin of its own, because many rows carry it.
        counts: Rows in each bin, those of the edges' own bins in between.
        magnitudes: Quantiles of the absolute numbers that are not zero.
        median: None without a number.
    """

    kind: Literal["numeric"] = "numeric"
    edges: tuple[float, ...]
    atoms: tuple[bool, ...]
    magnitudes: tuple[float, ...]
    median: float | None

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> NumericProfile:
        """Profile numbers, shape (n,), NaN for null."""
        finite = np.sort(values[np.isfinite(values)])
        # Deciles that are values themselves: bins then do not depend on the unit, to the last row.
        positions = np.ceil(len(finite) * np.arange(1, _BINS) / _BINS).astype(int) - 1
        edges = np.unique(finite[positions]) if len(finite) else finite
        share = np.searchsorted(finite, edges, "right") - np.searchsorted(finite, edges, "left")
        atoms = share >= max(2.0, _ATOM_SHARE * len(finite))
        sample = _count_numbers(values, finite, edges, atoms)
        return cls(
            rows=sample.rows,
            nulls=sample.nulls,
            infinite=sample.infinite,
            edges=tuple(edges.tolist()),
            atoms=tuple(atoms.tolist()),
            counts=tuple(sample.counts.tolist()),
            magnitudes=sample.magnitudes,
            median=sample.median,
        )

    def count(self, values: npt.NDArray[np.float64]) -> Sample:
        """Count other values of the column by the bins of this profile."""
        finite = np.sort(values[np.isfinite(values)])
        return _count_numbers(values, finite, np.array(self.edges), np.array(self.atoms, dtype=bool))

    @property
    def sample(self) -> Sample:
        """What the profile was made from."""
        counts = np.array(self.counts, np.int64)
        return Sample(self.rows, self.nulls, self.infinite, counts, self.magnitudes, self.median)


def _count_numbers(
    values: npt.NDArray[np.float64],
    finite: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    atoms: npt.NDArray[np.bool_],
) -> Sample:
    """Count values, of which ``finite`` are the finite ones, sorted."""
    # Where each bin ends in the sorted values: below every edge, and past those that have a bin of their own.
    below, past = np.searchsorted(finite, edges, "left"), np.searchsorted(finite, edges, "right")
    ends = np.sort(np.concatenate([below, past[atoms], [len(finite)]]))
    return Sample(
        rows=len(values),
        nulls=len(values) - len(finite),
        infinite=int(np.isinf(values).sum()),
        counts=np.diff(ends, prepend=0).astype(np.int64),
        magnitudes=_magnitudes(finite),
        median=float(finite[len(finite) // 2]) if len(finite) else None,
    )


def _magnitudes(finite: npt.NDArray[np.float64]) -> tuple[float, ...]:
    sizes = np.abs(finite[finite != 0])
    if len(sizes) < _LEAST_MAGNITUDES:
        return ()
    return tuple(np.quantile(sizes, _MAGNITUDES).tolist())


class CategoricalProfile(_Profile):
    """A column of categories.

    Attributes:
        categories: How often each known category occurs, the most frequent ones first.
        counts: Rows in each bin: one for each frequent category, the last one for all others.
        distinct: How many categories there were, also those beyond the ones kept.
        unseen: Share that unknown categories are to be expected to have.
    """

    kind: Literal["categorical"] = "categorical"
    categories: dict[str, int]
    distinct: int

    @classmethod
    def of(cls, values: Iterable[str | None]) -> CategoricalProfile:
        """Profile texts, None for null."""
        occurring = Counter(values)
        nulls = occurring.pop(None, 0)
        # By name among equals, so that the order of rows does not matter.
        ranked = sorted(((str(name), count) for name, count in occurring.items()), key=lambda one: (-one[1], one[0]))
        total = sum(count for _, count in ranked)
        frequent = [count for _, count in ranked[:_KEPT_CATEGORIES] if count >= _KEPT_SHARE * total]
        singletons = sum(1 for _, count in ranked if count == 1)
        return cls(
            rows=total + nulls,
            nulls=nulls,
            categories=dict(ranked[:_KNOWN_CATEGORIES]),
            counts=(*frequent, total - sum(frequent)),
            distinct=len(ranked),
            unseen=singletons / total if total else 0.0,
        )

    @property
    def is_id_like(self) -> bool:
        """Whether categories hardly repeat, so that a new one tells nothing."""
        return self.unseen > _ID_LIKE or self.distinct > len(self.categories)

    def count(self, values: Iterable[str | None]) -> Sample:
        """Count other values of the column by the bins of this profile."""
        occurring = Counter(values)
        nulls = occurring.pop(None, 0)
        bins = {name: position for position, name in enumerate(list(self.categories)[: len(self.counts) - 1])}
        counts = np.zeros(len(self.counts), np.int64)
        new = 0
        for name, count in occurring.items():
            counts[bins.get(str(name), -1)] += count
            new += 0 if name in self.categories else count
        return Sample(int(counts.sum()) + nulls, nulls, 0, counts, new=new)

    @property
    def sample(self) -> Sample:
        """What the profile was made from."""
        return Sample(self.rows, self.nulls, 0, np.array(self.counts, np.int64))


ColumnProfile = NumericProfile | CategoricalProfile
