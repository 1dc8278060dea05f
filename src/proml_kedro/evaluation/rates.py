"""Mean labels of parts of the rows, and how sure they are when rows of a cluster resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEWEST_CLUSTERS = 5
"""Clusters below which nothing is claimed of a mean."""


@dataclass(frozen=True)
class Means:
    """Means of the rows of each part; arrays of shape (parts,), NaN where a part has no rows or nothing is claimed.

    Attributes:
        rows: How many rows there are.
        mean: Their mean.
        low: Lower end of its interval.
        high: Upper end.
    """

    rows: Ints
    mean: Array
    low: Array
    high: Array


def means_of(values: Array, part: Ints, parts: int, clusters: Ints, confidence: float = 0.95) -> Means:
    """Compute the mean of each part with a confidence interval.

    The variance is that of sums over clusters (the linearized ratio estimator), with Student's t of as many degrees of
    freedom as the part has clusters, less one. Means of 0 and 1 have Wilson's interval (1927), with as many rows as the
    clustered variance is worth (Kish 1965), never more than there are: so that it stays between 0 and 1, and 0 of 10 is
    not certain to be 0.

    Args:
        values: Shape (n,).
        part: The part of each row, from 0; -1 for none. Shape (n,).
        parts: How many parts there are.
        clusters: The cluster of each row, from 0, shape (n,).
        confidence: Of the intervals.
    """
    from scipy import stats

    kept = part >= 0
    values, part, clusters = values[kept].astype(np.float64), part[kept], clusters[kept]
    rows = np.bincount(part, minlength=parts)
    with np.errstate(all="ignore"):
        mean = np.bincount(part, values, parts) / rows
        pairs, of_pair = np.unique(part * (int(clusters.max(initial=0)) + 1) + clusters, return_inverse=True)
        sums = np.bincount(of_pair, values - mean[part], len(pairs))
        of_part = pairs // (int(clusters.max(initial=0)) + 1)
        count = np.bincount(of_part, minlength=parts)
        variance = np.bincount(of_part, sums**2, parts) / rows.astype(np.float64) ** 2 * count / (count - 1)
        t = np.where(count >= FEWEST_CLUSTERS, stats.t.ppf((1 + confidence) / 2, np.maximum(count - 1, 1)), np.nan)
        if np.isin(values, (0.0, 1.0)).all():
            worth = np.minimum(rows, np.where(variance > 0, mean * (1 - mean) / variance, rows))
            middle = (mean + t**2 / (2 * worth)) / (1 + t**2 / worth)
            half = t / (1 + t**2 / worth) * np.sqrt(mean * (1 - mean) / worth + t**2 / (4 * worth**2))
            return Means(rows, mean, middle - half, middle + half)
        half = t * np.sqrt(variance)
    return Means(rows, mean, mean - half, mean + half)


def by_mass(values: Array, parts: int) -> Ints:
    """Number parts of about equally many rows in ascending order; equal values stay together, -1 is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), -1, np.int64)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, parts + 1)[1:-1], method="higher"))
    found = np.searchsorted(edges, np.where(known, values, 0), side="right")
    return np.where(known, np.unique(found, return_inverse=True)[1], -1)
