"""Other figures that were unusual at the same time, or that move with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.health.anomalies.detect import band_of
from proml_kedro.health.anomalies.detector import Band
from proml_kedro.health.anomalies.series import Figures
from proml_kedro.health.anomalies.watch import Watch
from proml_kedro.results.anomalies import ALL, Anomaly
from proml_kedro.results.diagnosis import Related

Array = npt.NDArray[np.float64]

LEAST_PERIODS = 20
"""Periods from which on a correlation is told."""
MOST = 10

_STRONG = 0.5
"""Correlation from which on a figure without an anomaly is told of."""


def residuals(figures: Figures, band: Band) -> Array:
    """Return how far figures were from what was expected, in distances of the band's edge, shape (series, periods)."""
    half = np.maximum(band.high - band.expected, band.expected - band.low)
    with np.errstate(all="ignore"):
        return np.asarray(np.where(half > 0, (figures.series.values - band.expected) / half, np.nan))


def correlation(one: Array, other: Array) -> float | None:
    """Return the rank correlation of two series over the periods of which both are known; None for fewer than 20.

    Ranks (Spearman) keep a few large anomalies from being all that is seen.
    """
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < LEAST_PERIODS:
        return None
    first, second = _ranks(one[both]), _ranks(other[both])
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Array) -> Array:
    """Return ranks; equal values have their mean."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group])


def related_of(
    watch: Watch,
    key: tuple[str, str, str],
    figures: Figures,
    span: tuple[datetime, datetime],
    anomalies: Sequence[Anomaly],
) -> list[Related]:
    """Find figures of all rows, of any monitor, that were unusual in a time or that move with a figure.

    Args:
        watch: The monitors.
        key: Monitor, dimension and value of the figure.
        figures: Those of its monitor.
        span: Begin and end of the time; only what was before it counts for correlations.
        anomalies: All that were found.

    Returns:
        Those with an anomaly in that time first, then by correlation.
    """
    name, dimension, value = key
    spec = watch.spec.monitors[name]
    row = list(figures.names).index((dimension, value))
    own = residuals(figures, band_of(figures, spec, watch.feedback_on(name)))[row]
    begins = [figures.periods.begin(place) for place in range(figures.periods.count)]
    past = {begin: distance for begin, distance in zip(begins, own.tolist(), strict=True) if begin < span[0]}
    found: dict[tuple[str, str, str], Related] = {}
    for one in anomalies:
        place = (one.monitor, one.dimension, one.value)
        if place != key and one.begin < span[1] and one.end > span[0]:
            found.setdefault(place, Related(*place, one.id, None))
    for other, moves in _movements(watch, past, leave=name):
        place = (other, ALL, "")
        if place in found or (moves is not None and abs(moves) >= _STRONG):
            found[place] = Related(*place, found[place].anomaly if place in found else "", moves)
    return sorted(found.values(), key=lambda one: (not one.anomaly, -abs(one.correlation or 0.0)))[:MOST]


def _movements(watch: Watch, past: dict[datetime, float], leave: str) -> Iterator[tuple[str, float | None]]:
    """Yield the correlation of each other monitor's figure of all rows, where its periods are as long."""
    for name, spec in watch.spec.monitors.items():
        if name == leave or spec.every != watch.spec.monitors[leave].every:
            continue
        try:
            figures = watch.figures(name)
        except UserError:  # told of where its anomalies are looked for
            continue
        moved = residuals(figures, band_of(figures, spec, watch.feedback_on(name)))[0]
        begins = [figures.periods.begin(place) for place in range(figures.periods.count)]
        pairs = [
            (past[begin], distance) for begin, distance in zip(begins, moved.tolist(), strict=True) if begin in past
        ]
        yield name, correlation(*np.array(pairs).reshape(-1, 2).T) if pairs else None
