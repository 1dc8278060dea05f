"""What was seen and what was to be expected of cells: of rates and means by row, of sums and counts by time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.health.diagnosis.expect import fit_effects, shifted
from proml_kedro.health.diagnosis.likelihood import Binomial, Likelihood, Normal, Poisson
from proml_kedro.health.diagnosis.sample import Mask, Sample, overdispersion
from proml_kedro.health.diagnosis.scan import Points

Array = npt.NDArray[np.float64]


class Frame(ABC):
    """Cells with what was expected of them.

    Attributes:
        codes: Number of each cell's value in each dimension, shape (dimensions, cells).
        seen: What was seen, shape (cells,).
        expected: What was to be expected, shape (cells,).
        rows: Number of current rows, shape (cells,).
        weight: What sums of ``seen`` are divided by to make the figure.
    """

    codes: npt.NDArray[np.int64]
    seen: Array
    expected: Array
    rows: Array
    weight: float

    @abstractmethod
    def points(self, left: Mask, side: int) -> Points:
        """Return what is scanned of some cells: what is expected is moved so that its sum is what was seen."""

    @abstractmethod
    def error(self, left: Mask) -> float:
        """Return the standard error of the sum of what was seen less what was expected, of some cells."""

    def figures(self, inside: Mask) -> tuple[float, float]:
        """Return the figure of some cells, and what was to be expected of it."""
        weight = self.weight_of(inside)
        return float(self.seen[inside].sum()) / weight, float(self.expected[inside].sum()) / weight

    @abstractmethod
    def weight_of(self, inside: Mask) -> float:
        """Return what sums of some cells are divided by to make their own figure."""


class Ratio(Frame):
    """A rate or a mean.

    Args:
        now: Current cells.
        before: Cells of earlier periods.
        is_rate: Whether values are 0 and 1.
    """

    def __init__(self, now: Sample, before: Sample, is_rate: bool) -> None:
        effects = fit_effects(before.codes, before.sizes, before.totals, before.rows, is_rate)
        self._is_rate, self._sizes = is_rate, now.sizes
        self._each, usual = effects.predict(now.codes), effects.predict(before.codes)
        self.codes, self.seen, self.rows = now.codes, now.totals, now.rows
        self.expected = now.rows * self._each
        self.weight = float(now.rows.sum())
        apart = before.squares - 2 * usual * before.totals + usual**2 * before.rows
        self._variance = max(float(apart.sum() / before.rows.sum()), 1e-12)
        self._noise = overdispersion(before, True) if is_rate else 1.0
        known = before.rows if is_rate else before.rows * self._variance
        known_of = zip(before.codes, now.sizes, strict=True)
        self._known = [np.bincount(code, known, size).astype(float) for code, size in known_of]
        self._rows_before = float(before.rows.sum())
        self._spread = _spread(before)

    def points(self, left: Mask, side: int) -> Points:
        """Return what is scanned."""
        seen, rows = self.seen[left], self.rows[left]
        likelihood: Likelihood
        if self._is_rate:
            expected, size, likelihood = rows * shifted(self._each[left], seen, rows), rows, Binomial()
        else:
            move = (seen.sum() - self.expected[left].sum()) / rows.sum()
            expected, size, likelihood = self.expected[left] + rows * move, rows * self._variance, Normal()
        return Points(
            self.codes[:, left], self._sizes, seen, expected, size, self._known, likelihood, self._noise, side
        )

    def error(self, left: Mask) -> float:
        """Return the standard error: of so few rows, of what was learned before, and of periods that differ."""
        rows = float(self.rows[left].sum())
        own = np.sqrt(self._noise * self._variance * rows * (1 + rows / self._rows_before))
        return float(max(own, rows * self._spread))

    def weight_of(self, inside: Mask) -> float:
        """Return the number of rows."""
        return max(float(self.rows[inside].sum()), 1.0)


class Extent(Frame):
    """A sum or a count: what earlier periods had in the same length of time is expected.

    Args:
        now: Current cells.
        before: Cells of earlier periods.
        scale: Length of the current time, in lengths of the earlier one.
        periods: Number of current periods.
    """

    def __init__(self, now: Sample, before: Sample, scale: float, periods: int) -> None:
        none_now, none_before = np.zeros(len(now.rows)), np.zeros(len(before.rows))
        self.codes = np.concatenate([now.codes, before.codes], axis=1)
        self.seen = np.concatenate([now.totals, none_before])
        self.expected = np.concatenate([none_now, before.totals * scale])
        self.rows = np.concatenate([now.rows, none_before])
        self.weight, self._scale, self._sizes = float(periods), scale, now.sizes
        is_count = bool((now.totals == now.rows).all() and (before.totals == before.rows).all())
        self._size = self.expected if is_count else np.concatenate([none_now, before.squares * scale])
        self._likelihood: Likelihood = Poisson() if is_count else Normal()
        self._noise = overdispersion(before, False)
        totals = np.bincount(np.unique(before.periods, return_inverse=True)[1], before.totals)
        self._spread = float(totals.std(ddof=1)) * np.sqrt(1 + 1 / len(totals)) if len(totals) > 1 else 0.0

    def points(self, left: Mask, side: int) -> Points:
        """Return what is scanned."""
        seen, expected = self.seen[left], self.expected[left]
        ratio = seen.sum() / expected.sum() if expected.sum() else 1.0
        parts = (seen, expected * ratio, self._size[left] * abs(ratio))
        # What is expected is itself as unsure as so many rows of before: one more variance of that share.
        noise = self._noise * (1 + self._scale)
        known = [np.full(size, np.inf) for size in self._sizes]
        return Points(self.codes[:, left], self._sizes, *parts, known, self._likelihood, noise, side)

    def error(self, left: Mask) -> float:
        """Return the standard error: of so few rows, and of periods that differ."""
        own = np.sqrt(self._noise * (1 + self._scale) * abs(float(self._size[left].sum())))
        share = self.expected[left].sum() / self.expected.sum() if self.expected.sum() else 1.0
        return float(max(own, abs(share) * self._spread * np.sqrt(self.weight)))

    def weight_of(self, inside: Mask) -> float:
        """Return the number of periods."""
        return self.weight


def _spread(before: Sample) -> float:
    """Return the standard error of a period's figure, as earlier periods differ from each other; 0 for one of them."""
    _, period = np.unique(before.periods, return_inverse=True)
    rows, totals = np.bincount(period, before.rows), np.bincount(period, before.totals)
    figures = totals[rows > 0] / rows[rows > 0]
    return float(figures.std(ddof=1) * np.sqrt(1 + 1 / len(figures))) if len(figures) > 3 else 0.0


def frame_of(agg: str, now: Sample, before: Sample, periods: tuple[int, int]) -> Frame:
    """Return what was expected of a figure.

    Args:
        agg: ``rate``, ``mean``, ``sum`` or ``count``.
        now: Current cells.
        before: Cells of earlier periods.
        periods: Number of current periods, and of earlier ones.
    """
    if agg in ("sum", "count"):
        return Extent(now, before, periods[0] / periods[1], periods[0])
    return Ratio(now, before, agg == "rate")


def names_of(
    chosen: dict[int, Mask], names: Sequence[str], values: Sequence[Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Write a set by the names of its columns and values."""
    return {
        names[one]: tuple(value for value, is_in in zip(values[one], mask, strict=True) if is_in)
        for one, mask in chosen.items()
    }
