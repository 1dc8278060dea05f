"""From figures over time to anomalies: what lies outside of its band, joined, filtered, and told beside events."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.health.anomalies.detector import Band, detector_of
from proml_kedro.health.anomalies.series import Figures
from proml_kedro.results.anomalies import ALL, Anomaly, Watched
from proml_kedro.spec.anomalies import MonitorSpec

Array = npt.NDArray[np.float64]
_SATURDAY = 5


@dataclass(frozen=True)
class Event:
    """Something that happened, such as a deployment.

    Attributes:
        moment: When, aware.
        name: What.
    """

    moment: datetime
    name: str


@dataclass(frozen=True)
class Feedback:
    """What people have said of a monitor.

    Attributes:
        factor: How much wider than declared bands are.
        trends: When a new trend began, by dimension and value: from then on nothing before it is learned from.
    """

    factor: float = 1.0
    trends: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)


def detect(
    name: str, spec: MonitorSpec, figures: Figures, events: Sequence[Event] = (), feedback: Feedback | None = None
) -> tuple[list[Anomaly], Watched, Band]:
    """Find what is unusual of a monitor.

    Args:
        name: Of the monitor.
        spec: The monitor.
        figures: What it looks at.
        events: What happened.
        feedback: What people have said of it; None for nothing.

    Returns:
        Anomalies, the newest first, what was looked at, and the bands.
    """
    feedback = feedback or Feedback()
    band = band_of(figures, spec, replace(feedback, factor=1.0))
    widened = band.widened(feedback.factor)
    outside = sides(figures.series.values, widened)
    found = [
        one
        for row in range(len(figures.names))
        for one in _anomalies(name, spec, figures, band, outside[row], row, events)
    ]
    told = np.isfinite(figures.series.values) & ~np.isnan(band.low) & ~np.isnan(band.high)
    periods = figures.periods
    watched = Watched(
        name,
        len(figures.names),
        periods.count,
        float(told.mean()),
        periods.begin(0),
        periods.begin(periods.count),
    )
    return sorted(found, key=lambda one: (one.begin, one.strength), reverse=True), watched, widened


def band_of(figures: Figures, spec: MonitorSpec, feedback: Feedback) -> Band:
    """Compute bands as people have widened them; from a new trend on by what came since."""
    detector = detector_of(spec.detector)
    whole = detector.band(figures.series)
    band = Band(*(np.array(one) for one in (whole.expected, whole.low, whole.high)))
    begins = [figures.periods.begin(place) for place in range(figures.periods.count)]
    for row, name in enumerate(figures.names):
        for moment in sorted(feedback.trends.get(name, ())):
            first = bisect_left(begins, moment)
            since = detector.band(figures.series.of(row, first))
            for into, found in ((band.expected, since.expected), (band.low, since.low), (band.high, since.high)):
                into[row, first:] = found[0, first:]
    return band.widened(feedback.factor)


def sides(values: Array, band: Band) -> npt.NDArray[np.int64]:
    """Tell for each period whether it is above its band (1), below it (-1), or neither (0), shape (series, periods)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((values > band.high).astype(np.int64) - (values < band.low).astype(np.int64))


def intervals(side: npt.NDArray[np.int64], merge_gap: int) -> Iterator[list[int]]:
    """Yield the positions of unusual periods that are one anomaly: on one side, and close to each other.

    Args:
        side: Of each period, shape (periods,).
        merge_gap: How many other periods may lie between two of them.
    """
    part: list[int] = []
    for place in np.flatnonzero(side).tolist():
        if part and (place - part[-1] > merge_gap + 1 or side[place] != side[part[-1]]):
            yield part
            part = []
        part.append(place)
    if part:
        yield part


def _anomalies(
    name: str,
    spec: MonitorSpec,
    figures: Figures,
    band: Band,
    side: npt.NDArray[np.int64],
    row: int,
    events: Sequence[Event],
) -> Iterator[Anomaly]:
    values, rows, periods = figures.series.values[row], figures.series.rows, figures.periods
    dimension, value = figures.names[row]
    for places in intervals(side, spec.merge_gap):
        begin, end = periods.begin(places[0]), periods.begin(places[-1] + 1)
        span = slice(places[0], places[-1] + 1)
        share = float(rows[row, span].sum() / max(rows[0, span].sum(), 1.0))
        if len(places) < spec.min_duration or (dimension != ALL and share < spec.min_share):
            continue
        if not spec.weekends and all(periods.begin(place).weekday() >= _SATURDAY for place in places):
            continue
        yield Anomaly(
            id=_id(name, dimension, value, begin, int(side[places[0]])),
            monitor=name,
            dimension=dimension,
            value=value,
            begin=begin,
            end=end,
            periods=len(places),
            current=float(values[places].mean()),
            expected=float(band.expected[row, places].mean()),
            strength=max(_strength(values[place], band, row, place) for place in places),
            share=share,
            events=tuple(one.name for one in events if begin - spec.every <= one.moment < end),
        )


def _strength(value: float, band: Band, row: int, place: int) -> float:
    """How far a value is from what was expected, in distances of the edge that it is beyond; at most 1,000."""
    expected = band.expected[row, place]
    edge = band.high[row, place] if value > band.high[row, place] else band.low[row, place]
    distance = abs(edge - expected)
    return float(min(abs(value - expected) / distance, 1000.0)) if distance else 1000.0


def _id(*parts: Any) -> str:
    text = "\0".join(one.isoformat() if isinstance(one, datetime) else str(one) for one in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
