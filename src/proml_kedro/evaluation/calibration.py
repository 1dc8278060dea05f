"""Whether it happens as often as is said: the calibration error, and the bins that it looks at.

The mean gap over bins is above 0 even for perfect probabilities, by chance: .065 at 300 rows, .012 at 10,000. So a
difference of two models in it is wrong. Here what chance adds to the square is estimated and taken away, as the
reliability of Ferro and Fricker 2012, "A bias-corrected decomposition of the Brier score", but from clusters of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.clustered import ClusteredRows

    Array = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

BINS = 15
_LEAST = 3
"""Clusters that a bin has at least: without one of them, the noise of the others can still be told."""


class CalibrationError(Metric):
    """Root of the mean squared gap between prediction and outcome, less noise, over 15 bins of about equal weight.

    Models are compared by its square, which has no bias. Rows with equal scores are in one bin, so that their order
    does not matter. Below 0 the gaps are smaller than chance alone would make them: no error is found. Of several
    classes the square is the mean of each one's (Kull et al. 2019, "Beyond temperature scaling", there classwise).
    """

    tasks = ("binary", "multiclass", "regression", "count")
    default_for = ("binary", "multiclass", "regression", "count")
    order = 90
    higher_is_better = False
    meaning = "gap between what is said and what happens, less noise; at or below 0: none is found"
    keeps_bins = True

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it, each row a cluster of its own; NaN for fewer than three rows."""
        import numpy as np

        from proml_kedro.evaluation.clustered import ClusteredRows

        return self.shown(self.estimate(ClusteredRows(label, score, weight, np.arange(len(label)))))

    def estimate(self, rows: ClusteredRows) -> float:
        """Compute its square; NaN for fewer than three clusters."""
        squares = [_estimate(_bin_sums(one)) for one in rows.by_class()]
        return sum(squares) / len(squares)

    def without_each(self, rows: ClusteredRows) -> Array:
        """Compute its square without each cluster, in the bins of all rows, shape (clusters,)."""
        import numpy as np

        return np.asarray(np.mean([_estimate_without_each(one) for one in rows.by_class()], axis=0))

    def excess(self, rows: ClusteredRows, other: ClusteredRows | None) -> float:
        """Estimate what products of two clusters' noise add to the jackknife's variance; half of it is not there.

        The square is a sum over pairs of clusters. A jackknife counts the variance that pairs have of their own twice
        (Efron and Stein 1981, "The jackknife estimate of variance"), and near 0 there is hardly any other.
        """
        parts = []
        for side, sign in ((rows, 1.0), (other, -1.0)):
            classes = side.by_class() if side else []
            for one in classes:
                sums = _bin_sums(one)
                if sums is None:
                    return 0.0
                parts.append((sums, sign / len(classes)))
        return _variance_of_pairs(parts)

    def shown(self, estimate: float) -> float:
        """Take the root, with the sign."""
        return math.copysign(math.sqrt(abs(estimate)), estimate)


@dataclass(frozen=True)
class _BinSums:
    """Sums of rows by cluster and bin, as far as a cluster has rows in a bin; arrays are of shape (such pairs,).

    Attributes:
        cluster: The cluster.
        bin_of: The bin, numbered from 0.
        mass: Weight of rows.
        gap: Weighted sum of score less label.
    """

    cluster: Ints
    bin_of: Ints
    mass: Array
    gap: Array

    def noise(self) -> tuple[Array, Array]:
        """Compute the gap of each pair less its bin's mean gap, shape (pairs,), and each bin's mass, shape (bins,)."""
        mass, gap, *_ = self._bins()
        return self.gap - (gap / mass)[self.bin_of] * self.mass, mass

    def squares(self) -> Array:
        """Compute weight times squared mean gap, less its variance, of each bin, shape (bins,)."""
        return _square(*self._bins())

    def squares_without(self) -> Array:
        """Compute the same of the bin of each pair, without its cluster, shape (pairs,)."""
        own = (self.mass, self.gap, *self._products())
        return _square(*(whole[self.bin_of] - part for whole, part in zip(self._bins(), own, strict=True)))

    def _bins(self) -> tuple[Array, ...]:
        import numpy as np

        return tuple(
            np.bincount(self.bin_of, one).astype(np.float64) for one in (self.mass, self.gap, *self._products())
        )

    def _products(self) -> tuple[Array, Array, Array]:
        return self.gap**2, self.gap * self.mass, self.mass**2


def _square(mass: Array, gap: Array, gap_gap: Array, gap_mass: Array, mass_mass: Array) -> Array:
    """Weight × (squared mean gap − variance of the mean gap between clusters)."""
    mean = gap / mass
    spread = gap_gap - 2 * mean * gap_mass + mean**2 * mass_mass
    # Clusters take part in the mean that they are compared with, in so far as they weigh: n / (n − 1) for equal ones.
    return mass * mean**2 - spread / (mass - mass_mass / mass)


def _estimate(sums: _BinSums | None) -> float:
    return float("nan") if sums is None else float(sums.squares().sum() / sums.mass.sum())


def _estimate_without_each(rows: ClusteredRows) -> Array:
    import numpy as np

    from proml_kedro.evaluation.clustered import ratio, without_each

    sums = _bin_sums(rows)
    if sums is None:
        return np.full(rows.clusters, np.nan)
    whole = sums.squares()
    change = np.bincount(sums.cluster, sums.squares_without() - whole[sums.bin_of], rows.clusters)
    return ratio(whole.sum() + change, without_each(rows.masses))


def _variance_of_pairs(squares: Sequence[tuple[_BinSums, float]]) -> float:
    """Estimate the variance that pairs of clusters have of their own in a sum of squares, each times a factor."""
    import numpy as np
    from scipy.sparse import csr_matrix, hstack

    one = squares[0][0]
    clusters = int(max(sums.cluster.max() for sums, _ in squares)) + 1
    parts, weights = [], []
    for sums, factor in squares:
        noise, mass = sums.noise()
        parts.append(csr_matrix((noise, (sums.cluster, sums.bin_of)), (clusters, len(mass))))
        weights.append(factor / mass)
    noise_of, weight = hstack(parts).tocsr(), np.concatenate(weights)
    products = (noise_of.T @ noise_of).toarray() * weight
    with_itself = ((noise_of.power(2) @ weight) ** 2).sum()
    number = len(np.unique(one.cluster))
    # Noise about a mean that it is part of is too small, and one cluster of few takes many pairs with it.
    few = number**3 / ((number - 1) ** 2 * (number - 2))
    return float(2 * few * (np.trace(products @ products) - with_itself) / one.mass.sum() ** 2)


def _bin_sums(rows: ClusteredRows) -> _BinSums | None:
    """Sum gaps by cluster and bin; None where there are too few clusters for a single bin."""
    import numpy as np

    some = np.flatnonzero(rows.weight > 0)
    cluster, weight = rows.cluster[some], rows.weight[some]
    bin_of = bins_with_clusters(bins_of_equal_weight(rows.score[some], weight), cluster)
    if bin_of is None:
        return None
    pair, of_pair = np.unique(cluster * BINS + bin_of, return_inverse=True)
    parts = weight, weight * (rows.score[some] - rows.label[some])
    mass, gap = (np.bincount(of_pair, one).astype(np.float64) for one in parts)
    return _BinSums(pair // BINS, pair % BINS, mass, gap)


def bins_of_equal_weight(score: Array, weight: Array) -> Ints:
    """Put rows into up to 15 bins of about equal weight, equal scores into one.

    Args:
        score: Ascending, shape (n,).
        weight: Positive, shape (n,).

    Returns:
        The bin of each row, ascending from 0; numbers may be left out.
    """
    import numpy as np

    tie = np.cumsum(np.concatenate([[0], np.diff(score) != 0])) if len(score) else np.zeros(0, np.int64)
    shares = np.cumsum(np.bincount(tie, weight)) / weight.sum()
    # A score belongs to the bin in which the last of its rows lies; a share just above an edge by rounding is on it.
    bin_of_tie = np.searchsorted(np.arange(1, BINS) / BINS, shares - 1e-12, "left")
    return np.asarray(bin_of_tie[tie], np.int64)


def bins_with_clusters(bin_of: Ints, cluster: Ints) -> Ints | None:
    """Number bins from 0 without gaps, and join one that has rows of fewer than three clusters with its neighbours.

    Returns:
        The bin of each row; None where all rows together are of fewer clusters.
    """
    import numpy as np

    numbers = np.zeros(BINS, np.int64)
    number, waiting = 0, np.zeros(0, np.int64)
    for one in range(BINS):
        numbers[one] = number
        waiting = np.union1d(waiting, cluster[bin_of == one])
        if len(waiting) >= _LEAST:
            number, waiting = number + 1, np.zeros(0, np.int64)
    if number == 0:
        return None
    return np.asarray(np.minimum(numbers, number - 1)[bin_of])  # what is left over goes with the last bin
