"""Functions of numbers: floating point of shape (n,) with NaN for missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]


def finite(values: Numbers) -> Numbers:
    """Return the values, missing where they are infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def ratio(numerator: Numbers, denominator: Numbers) -> Numbers:
    """Divide each two numbers, shape (n,); missing where the denominator is 0."""
    with np.errstate(all="ignore"):
        return finite(numerator / denominator)


def difference(left: Numbers, right: Numbers) -> Numbers:
    """Subtract the second number from the first, shape (n,)."""
    with np.errstate(all="ignore"):
        return finite(left - right)


def log1p(values: Numbers) -> Numbers:
    """Compute the logarithm of 1 more than each number, shape (n,); missing from -1 down."""
    with np.errstate(all="ignore"):
        return finite(np.log1p(values))


def clip(values: Numbers, low: Numbers | float, high: Numbers | float) -> Numbers:
    """Move each number to the nearest between two bounds, shape (n,); missing where one of the three is."""
    return np.asarray(np.minimum(np.maximum(values, low), high))
