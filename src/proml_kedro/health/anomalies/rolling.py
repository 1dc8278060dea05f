"""Figures of what came before each period, many series at once. Nothing here looks at the period itself or later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CELLS = 20_000_000
"""Numbers that are held at once."""
MAD = 1.4826
"""Of a normal distribution: standard deviations of its median absolute deviation."""


def past_median(values: Array, window: int, least: int, step: int = 1) -> Array:
    """Compute the median of the values before each one, NaN not counted.

    Args:
        values: Shape (series, periods).
        window: How many of them.
        least: With fewer known ones it is NaN.
        step: Periods from one to the next: the season, for those of the same phase.
    """
    return _rolled(values, window, least, step, _median)


def past_mean(values: Array, window: int, least: int) -> Array:
    """Compute the mean of the values before each one; arguments are those of :func:`past_median`."""
    return _rolled(values, window, least, 1, lambda ordered, known: np.nansum(ordered, axis=-1) / np.maximum(known, 1))


def past_deviation(values: Array, window: int, least: int) -> Array:
    """Compute the standard deviation of the values before each one; arguments are those of :func:`past_median`."""
    return _rolled(values, window, least, 1, _deviation)


def _rolled(values: Array, window: int, least: int, step: int, of: Callable[[Array, Array], Array]) -> Array:
    series, periods = values.shape
    found = np.empty((series, periods))
    at_once = max(1, _CELLS // max(1, periods * window))
    before = np.arange(1, window + 1) * step
    place = np.arange(periods)[:, None] - before  # (periods, window)
    for first in range(0, series, at_once):
        part = values[first : first + at_once]
        seen = np.where(place >= 0, part[:, np.maximum(place, 0)], np.nan)
        known = (~np.isnan(seen)).sum(axis=-1)
        found[first : first + at_once] = np.where(known >= least, of(seen, known), np.nan)
    return found


def _median(seen: Array, known: Array) -> Array:
    """Median of the last axis; NumPy's own for NaN takes many times as long."""
    ordered = np.sort(seen, axis=-1)  # not-a-number comes last
    middle = np.stack([np.maximum(known - 1, 0) // 2, np.minimum(known // 2, seen.shape[-1] - 1)], axis=-1)
    return np.asarray(np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1))


def _deviation(seen: Array, known: Array) -> Array:
    mean = np.nansum(seen, axis=-1) / np.maximum(known, 1)
    squares = np.nansum((seen - mean[..., None]) ** 2, axis=-1)
    return np.asarray(np.sqrt(squares / np.maximum(known - 1, 1)))
