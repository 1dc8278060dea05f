"""How different two samples of a column are: counts in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
"""Rows in each bin, shape (bins,)."""

_LEAST_EXPECTED = 5.0  # Cochran's rule: below it the chi-square approximation of a cell is poor
_NEW_VALUE_ERRORS = 4.0
_EXCEEDED = 0.001
_LEAST_SIZE = 1e-9
_FARTHEST = math.log(3)  # beyond the largest so far: of few sizes the interval alone would allow nearly anything
_PRIOR_SIZES, _PRIOR_DEVIATION = 8, 0.5


def pool_sparse_bins(reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    """Merge the bins in which fewer than five rows of the smaller sample are to be expected.

    Args:
        reference: Rows in each bin, shape (bins,).
        current: The same bins of the other sample.

    Returns:
        Both samples over the same, possibly fewer, bins; empty bins are left out.
    """
    total = reference + current
    smaller = min(reference.sum(), current.sum())
    sparse = total * smaller < _LEAST_EXPECTED * total.sum()
    pooled = [np.append(counts[~sparse], counts[sparse].sum()) for counts in (reference, current)]
    occupied = pooled[0] + pooled[1] > 0
    return pooled[0][occupied], pooled[1][occupied]


def pool_rare_bins(reference: Counts, current: Counts, most: int, least_share: float) -> tuple[Counts, Counts]:
    """Keep the bins that are frequent in both samples together, and merge all others into one.

    Which bins are frequent must not be decided by one of the samples: those that are so by its chance have fewer rows
    in the other one. Of 150 equally frequent categories that alone raises an alarm in 87 % of random samples.

    Args:
        reference: Rows in each bin, shape (bins,); the last one is of all others.
        current: The same bins of the other sample.
        most: How many bins to keep.
        least_share: Share of the rows of both that a kept bin has.
    """
    total = reference[:-1] + current[:-1]
    kept = np.argsort(-total, kind="stable")[:most]
    kept = kept[total[kept] >= least_share * (reference.sum() + current.sum())]
    first, second = (np.append(counts[kept], counts.sum() - counts[kept].sum()) for counts in (reference, current))
    return first, second


def prediction_bound(sizes: Sequence[float], least: float) -> float:
    """Compute a bound that the next size exceeds once in a thousand times, from the sizes of earlier periods.

    The largest of k earlier sizes is exceeded once in k + 1 times by chance alone. This is the upper limit of a
    prediction interval for one more value (Hahn and Meeker 1991, "Statistical Intervals", ch. 4) of the logarithms.
    Few sizes tell little of their spread, so that a usual one counts as eight further ones.

    Args:
        sizes: At least 0 each; those that are not finite are left out.
        least: A size that is small: smaller ones are not told apart.

    Returns:
        0 without a size.
    """
    from scipy.special import stdtrit

    logs = np.log(np.array([one for one in sizes if math.isfinite(one)]) + max(least, _LEAST_SIZE))
    count = len(logs)
    if not count:
        return 0.0
    freedom = count - 1 + _PRIOR_SIZES
    variance = (((logs - logs.mean()) ** 2).sum() + _PRIOR_SIZES * _PRIOR_DEVIATION**2) / freedom
    quantile = float(stdtrit(freedom, 1 - _EXCEEDED))
    reach = float(logs.mean() + quantile * math.sqrt(variance * (1 + 1 / count)))
    return max(0.0, math.exp(min(reach, float(logs.max()) + _FARTHEST)) - max(least, _LEAST_SIZE))


def stability_index(reference: Counts, current: Counts) -> float:
    """Compute the population stability index (PSI), less what chance alone is expected to add.

    Between samples of n and m rows of one distribution over B bins, the PSI is (1/n + 1/m) times a chi-square
    variable with B - 1 degrees of freedom (Yurdakul and Naranjo 2020, "Statistical properties of the population
    stability index", Journal of Risk Model Validation 14(4)). Its mean is subtracted here, so that one threshold
    suits samples of every size. Half a row is added to each bin, since an empty one would make the index infinite.

    Returns:
        At least 0; NaN when a sample is empty.
    """
    n, m, bins = int(reference.sum()), int(current.sum()), len(reference)
    if n == 0 or m == 0:
        return math.nan
    p = (reference + 0.5) / (n + 0.5 * bins)
    q = (current + 0.5) / (m + 0.5 * bins)
    raw = float(np.sum((q - p) * np.log(q / p)))
    return max(0.0, raw - (bins - 1) * (1 / n + 1 / m))


def chance_of_index(reference: Counts, current: Counts) -> float:
    """Compute the PSI, less its mean, that one in a thousand pairs of samples of one distribution exceeds.

    Args:
        reference: Rows in each bin, shape (bins,).
        current: The same bins of the other sample.
    """
    from scipy.special import chdtri

    n, m, freedom = int(reference.sum()), int(current.sum()), len(reference) - 1
    if min(n, m, freedom) < 1:
        return 0.0
    return (float(chdtri(freedom, _EXCEEDED)) - freedom) * (1 / n + 1 / m)


def g_test(reference: Counts, current: Counts) -> float:
    """Compute the p-value of the two-sample G-test (a likelihood ratio test; Sokal and Rohlf, "Biometry", ch. 17).

    Both samples vary by chance. A chi-square test that takes the reference for exact does not allow for that and
    finds differences between samples of the same thing.

    Returns:
        NaN when a sample is empty; 1 when there is only one bin.
    """
    from scipy.special import gammaincc

    table = np.stack([reference, current]).astype(np.float64)
    if (table.sum(axis=1) == 0).any():
        return math.nan
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    terms = table * np.log(np.where(table > 0, table, 1) / expected)
    statistic = max(0.0, 2 * float(np.where(table > 0, terms, 0).sum()))
    return float(gammaincc((table.shape[1] - 1) / 2, statistic / 2))


def proportion_test(count_a: int, rows_a: int, count_b: int, rows_b: int) -> float:
    """Compute the two-sided p-value of the pooled z-test for equal proportions; 1 without rows."""
    if min(rows_a, rows_b) == 0:
        return 1.0
    pooled = (count_a + count_b) / (rows_a + rows_b)
    variance = pooled * (1 - pooled) * (1 / rows_a + 1 / rows_b)
    if variance == 0:
        return 1.0
    return math.erfc(abs(count_a / rows_a - count_b / rows_b) / math.sqrt(2 * variance))


def scale_ratio(reference: Sequence[float], current: Sequence[float]) -> float:
    """Compute the factor by which the size of the numbers changed, as far as all their quantiles agree.

    A change of unit multiplies every quantile by the same factor; an unusual week moves some of them.

    Args:
        reference: Quantiles of the absolute values that are not zero; empty when there are too few.
        current: The same quantiles of the other sample.

    Returns:
        The quantiles' ratio that is nearest to 1; 1 when they disagree about the direction.
    """
    if not len(reference) or not len(current):
        return 1.0
    ratios = np.asarray(current, np.float64) / np.asarray(reference, np.float64)
    if (ratios > 1).all():
        return float(ratios.min())
    return float(ratios.max()) if (ratios < 1).all() else 1.0


def new_value_excess(new: int, rows: int, unseen: tuple[float, float], reference_rows: int) -> float:
    """Compute the share of new categories beyond what another sample of the same distribution would have.

    Good and Turing's estimate of the mass of categories that a sample has not seen is the share of those it has
    seen once (Good 1953, "The population frequencies of species", Biometrika 40). Four standard errors are granted;
    rows of an unseen category come together, which its part of the error allows for (Esty 1983, Annals of Statistics
    11(3)).

    Args:
        new: Current rows whose category is not in the reference.
        rows: Current rows with a category.
        unseen: Good and Turing's estimate from the reference, and its standard error.
        reference_rows: Reference rows with a category.
    """
    if rows == 0 or reference_rows == 0:
        return 0.0
    share, own_error = unseen
    error = math.hypot(own_error, math.sqrt(max(share, 1 / reference_rows) * (1 / rows + 1 / reference_rows)))
    return max(0.0, new / rows - share - _NEW_VALUE_ERRORS * error)


def beyond_range(outside: int, rows: int, extreme: int, reference_rows: int) -> float:
    """Compute the share of numbers beyond a range, less what another sample of the same distribution would have.

    Beyond the k-th smallest and k-th largest of n numbers lie 2k / (n + 1) of further ones, whatever their
    distribution (Wilks 1942, Annals of Mathematical Statistics 13(4)). Four standard errors are granted.

    Args:
        outside: Current numbers beyond the range.
        rows: Current numbers.
        extreme: The k that the range reaches to.
        reference_rows: Numbers of the reference.
    """
    if rows == 0 or reference_rows == 0:
        return 0.0
    expected = min(1.0, 2 * extreme / (reference_rows + 1))
    error = math.sqrt(expected * (1 / rows + 1 / reference_rows))
    return max(0.0, outside / rows - expected - _NEW_VALUE_ERRORS * error)


def shift_test(shift: float, error: float) -> float:
    """Compute the two-sided p-value of a shift with this standard error; 1 where there is no shift."""
    if shift == 0:
        return 1.0
    return math.erfc(abs(shift) / error / math.sqrt(2)) if error > 0 else 0.0


def benjamini_hochberg(p_values: npt.ArrayLike, alpha: float) -> npt.NDArray[np.bool_]:
    """Decide which of several tests are significant with a false discovery rate of at most ``alpha``.

    Benjamini and Hochberg 1995, "Controlling the false discovery rate", JRSS B 57(1).

    >>> benjamini_hochberg([0.001, 0.04, 0.9, math.nan], 0.05).tolist()
    [True, False, False, False]

    Args:
        p_values: Shape (tests,); NaN stands for a test that could not be made.
        alpha: The rate.

    Returns:
        Shape (tests,); False for NaN.
    """
    p = np.asarray(p_values, np.float64)
    ordered = np.sort(p[~np.isnan(p)])
    passed = np.flatnonzero(ordered <= alpha * np.arange(1, len(ordered) + 1) / max(1, len(ordered)))
    threshold = ordered[passed[-1]] if len(passed) else -1.0
    significant: npt.NDArray[Any] = p <= threshold
    return significant
