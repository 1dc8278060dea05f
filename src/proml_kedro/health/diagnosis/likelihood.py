"""How much likelier rows are if some of them are a case of their own: three kinds of figures."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_TINY = 1e-9


class Likelihood(ABC):
    """A kind of figure: numbers that were seen, and numbers that were expected, in any part of the rows.

    A part has ``seen`` and ``expected``, and a ``size``: its number of trials, or its variance.
    """

    @abstractmethod
    def gain(self, seen: Array, expected: Array, size: Array) -> Array:
        """Compute by how much the log-likelihood of parts grows when their own level is free."""

    @abstractmethod
    def order(self, seen: Array, expected: Array, size: Array) -> Array:
        """Compute by what parts are sorted, so that the best set of them is one of the first so many (Neill, 2012)."""

    def against_rest(self, seen: Array, expected: Array, size: Array, totals: tuple[float, float, float]) -> Array:
        """Compute the gain of parts and of all else, each with a level of its own, over one level for all.

        Args:
            seen: What was seen in parts.
            expected: What one level for all expects.
            size: Trials, or variance.
            totals: The same three of all rows.
        """
        rest = (np.maximum(total - part, 0.0) for total, part in zip(totals, (seen, expected, size), strict=True))
        return self.gain(seen, expected, size) + self.gain(*rest)


class Binomial(Likelihood):
    """Rows of which a condition holds or does not."""

    def gain(self, seen: Array, expected: Array, size: Array) -> Array:
        """Compute the gain: trials times the Kullback-Leibler divergence of the two shares."""
        return _term(seen, expected) + _term(size - seen, size - expected)

    def order(self, seen: Array, expected: Array, size: Array) -> Array:
        """Sort by the ratio of the shares, pulled towards 1 where little is expected."""
        return np.asarray((seen + 1.0) / (expected + 1.0))


class Poisson(Likelihood):
    """Numbers of rows."""

    def gain(self, seen: Array, expected: Array, size: Array) -> Array:
        """Compute the gain of a Poisson rate."""
        return np.maximum(_term(seen, expected) + expected - seen, 0.0)

    def order(self, seen: Array, expected: Array, size: Array) -> Array:
        """Sort by the ratio of the numbers."""
        return np.asarray((seen + 1.0) / (expected + 1.0))


class Normal(Likelihood):
    """Sums of numbers whose variance is known."""

    def gain(self, seen: Array, expected: Array, size: Array) -> Array:
        """Compute half of the squared distance, in variances."""
        return np.asarray((seen - expected) ** 2 / (2 * np.maximum(size, _TINY)))

    def against_rest(self, seen: Array, expected: Array, size: Array, totals: tuple[float, float, float]) -> Array:
        """Compute the gain; what is seen and expected of the rest may be negative."""
        rest = (total - part for total, part in zip(totals, (seen, expected, size), strict=True))
        return self.gain(seen, expected, size) + self.gain(*rest)

    def order(self, seen: Array, expected: Array, size: Array) -> Array:
        """Sort by the distance for each unit of variance."""
        return np.asarray((seen - expected) / np.maximum(size, _TINY))


def _term(seen: Array, expected: Array) -> Array:
    """Return s ln(s/e), which is 0 where nothing was seen."""
    seen = np.maximum(seen, 0.0)
    ratio = np.maximum(seen, _TINY) / np.maximum(expected, _TINY)
    return np.asarray(np.where(seen > 0, seen * np.log(ratio), 0.0))
