"""Mean, deviation and quantiles of values that come in parts, each with a weight: 2 is the value twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

_SAMPLE = 2**20  # values kept; quantiles of more are those of an even sample

Doubles = npt.NDArray[np.float64]


class Moments:
    """Mean and deviation of values that come in parts (Chan, Golub and LeVeque, The American Statistician 1983).

    Args:
        log: Whether each value is first replaced by log(1 + |x|) with the sign of x.

    >>> moments = Moments(log=False)
    >>> moments.add(np.array([1.0, np.nan, 2.0]), np.ones(3))
    >>> moments.add(np.array([6.0, np.inf]), np.ones(2))
    >>> moments.mean, round(moments.mean_and_deviation()[1], 3)
    (3.0, 2.16)
    """

    def __init__(self, log: bool) -> None:
        self._log = log
        self._total = 0.0
        self.mean = 0.0
        self._squares = 0.0
        self._least, self._most = np.inf, -np.inf

    def add(self, values: Array, weight: Array) -> None:
        """Take more values into account, except those that are not finite.

        Args:
            values: Shape (n,).
            weight: Positive, shape (n,).
        """
        finite = np.isfinite(values)
        known, weight = values[finite].astype(np.float64), weight[finite]
        if not len(known):
            return
        self._least, self._most = min(self._least, float(known.min())), max(self._most, float(known.max()))
        if self._log:
            known = np.sign(known) * np.log1p(np.abs(known))
        count, mean = float(weight.sum()), float(np.average(known, weights=weight))
        squares, shift = float((weight * np.square(known - mean)).sum()), mean - self.mean
        total = self._total + count
        self.mean += shift * count / total
        self._squares += squares + shift**2 * self._total * count / total
        self._total = total

    def mean_and_deviation(self) -> list[float]:
        """Return both; the deviation is 1 where all values are equal or none is known.

        That all are equal is not left to the deviation: rounding would make it tiny, and the value huge by it.
        """
        deviation = float(np.sqrt(self._squares / self._total)) if self._least < self._most else 0.0
        return [self.mean, deviation or 1.0]


class Sample:
    """An even sample of values that come in parts: all of them, or every second, fourth … of very many."""

    def __init__(self) -> None:
        self._parts: list[Doubles] = []
        self._step = 1

    def add(self, values: Array, weight: Array) -> None:
        """Take more values into account, except those that are not finite.

        Args:
            values: Shape (n,).
            weight: Positive, shape (n,).
        """
        finite = np.isfinite(values)
        self._parts.append(np.stack([values[finite], weight[finite]]).astype(np.float64)[:, :: self._step])
        while sum(part.shape[1] for part in self._parts) > _SAMPLE:
            self._parts = [np.concatenate(self._parts, axis=1)[:, ::2]]
            self._step *= 2

    def quantiles(self, parts: int) -> list[float]:
        """Cut the known values into parts of equal weight.

        Args:
            parts: How many.

        Returns:
            Values that never fall, both ends included; empty when no value is known.
        """
        values, weight = self._known()
        return weighted_quantiles(values, weight, np.linspace(0, 1, parts + 1)).tolist() if len(values) else []

    def counts(self) -> tuple[Doubles, Doubles]:
        """Return the different known values, rising, and the weight of each."""
        values, weight = self._known()
        different, positions = np.unique(values, return_inverse=True)
        return different, np.bincount(positions, weight, len(different)).astype(np.float64)

    def _known(self) -> tuple[Doubles, Doubles]:
        values, weight = np.concatenate([np.zeros((2, 0)), *self._parts], axis=1)
        return values, weight


def mean_and_deviation(values: Array, weight: Array) -> tuple[float, float]:
    """Compute the mean and the deviation around it; the deviation is 1 where all values are equal.

    Args:
        values: Shape (n,).
        weight: Positive, shape (n,).
    """
    moments = Moments(log=False)
    moments.add(values, weight)
    mean, deviation = moments.mean_and_deviation()
    return mean, deviation


def weighted_quantiles(values: Array, weight: Array, levels: Sequence[float] | Doubles) -> Doubles:
    """Compute quantiles; those of equal weights are NumPy's, and with weight 2 beside 1 those of the row twice.

    Args:
        values: Shape (n,), n > 0.
        weight: Positive, shape (n,).
        levels: From 0 to 1.

    >>> weighted_quantiles(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]), [0.5, 1]).tolist()
    [3.0, 4.0]
    """
    order = np.argsort(values, kind="stable")
    known, counts = values[order].astype(np.float64), np.asarray(weight, np.float64)[order]
    ends, least = np.cumsum(counts), float(counts.min())
    places = np.stack([ends - counts, ends - least], axis=1).ravel()  # the first and the last place of each value
    return np.asarray(np.interp(np.asarray(levels) * places[-1], places, np.repeat(known, 2)))
