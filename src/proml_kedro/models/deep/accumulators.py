"""Mean, deviation and quantiles of values that come in parts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

_SAMPLE = 2**20  # values kept; quantiles of more are those of an even sample


class Moments:
    """Mean and deviation of values that come in parts (Chan, Golub and LeVeque, The American Statistician 1983).

    Args:
        log: Whether each value is first replaced by log(1 + |x|) with the sign of x.

    >>> moments = Moments(log=False)
    >>> moments.add(np.array([1.0, np.nan, 2.0]))
    >>> moments.add(np.array([6.0, np.inf]))
    >>> moments.mean, round(moments.mean_and_deviation()[1], 3)
    (3.0, 2.16)
    """

    def __init__(self, log: bool) -> None:
        self._log = log
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Array) -> None:
        """Take more values into account, except those that are not finite."""
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            return
        if self._log:
            known = np.sign(known) * np.log1p(np.abs(known))
        count, mean = len(known), float(known.mean())
        squares, shift = float(np.square(known - mean).sum()), mean - self.mean
        total = self.count + count
        self.mean += shift * count / total
        self._squares += squares + shift**2 * self.count * count / total
        self.count = total

    def mean_and_deviation(self) -> list[float]:
        """Return both; the deviation is 1 where all values are equal or none is known."""
        deviation = float(np.sqrt(self._squares / self.count)) if self.count else 0.0
        return [self.mean, deviation or 1.0]


class Sample:
    """An even sample of values that come in parts: all of them, or every second, fourth … of very many."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.float64]] = []
        self._step = 1

    def add(self, values: Array) -> None:
        """Take more values into account, except those that are not finite."""
        self._parts.append(values[np.isfinite(values)].astype(np.float64)[:: self._step])
        while sum(map(len, self._parts)) > _SAMPLE:
            self._parts = [np.concatenate(self._parts)[::2]]
            self._step *= 2

    def quantiles(self, parts: int) -> list[float]:
        """Cut the known values into parts of equal counts.

        Args:
            parts: How many.

        Returns:
            Rising values without repetition, both ends included; empty when no value is known.
        """
        known = np.concatenate([np.zeros(0), *self._parts])
        if not len(known):
            return []
        cuts: list[float] = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1))).tolist()
        return cuts
