"""What a detector of anomalies is: a kind in a registry, that says of each period what was to be expected before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from proml_kedro.health.anomalies.rolling import past_median
from proml_kedro.spec.anomalies import DetectorSpec

Array = npt.NDArray[np.float64]
S = TypeVar("S", bound=DetectorSpec)

_SPREAD_OVER = 28
_OF_WHOLE = 0.5
"""Taken for the error of a whole number: 10 days of 10 make an 11 no wonder."""


@dataclass(frozen=True)
class Series:
    """Figures of consecutive periods, many series of the same periods.

    Attributes:
        values: NaN where there is none, or where it is not to be learned from, shape (series, periods).
        rows: How many rows each figure is of, shape (series, periods).
        spread: Standard deviation of the rows of a period, for means, shape (series, periods).
        every: Length of a period.
        agg: What was computed.
    """

    values: Array
    rows: Array
    spread: Array
    every: timedelta
    agg: Literal["rate", "mean", "sum", "count"]

    def error(self, expected: Array) -> Array:
        """Compute the standard error that a figure has as one of so many rows, shape (series, periods).

        A rate's is that of the expected one; of the observed one it would be 0 where nothing happened. Sums and counts
        may follow a schedule, and so have none, but that a count is a whole number.
        """
        rows = np.maximum(self.rows, 1.0)
        if self.agg == "rate":
            chance = np.clip(expected, 1 / (rows + 2), 1 - 1 / (rows + 2))
            return np.asarray(np.sqrt(chance * (1 - chance) / rows))
        if self.agg == "mean":
            return np.nan_to_num(past_median(self.spread, _SPREAD_OVER, 1) / np.sqrt(rows))
        return np.full_like(expected, _OF_WHOLE if self.agg == "count" else 0.0)

    def of(self, row: int, first: int) -> Series:
        """Take one series, as if nothing were known of the periods before ``first``."""
        known = np.arange(self.values.shape[1]) >= first
        values, spread = (np.where(known, one[row : row + 1], np.nan) for one in (self.values, self.spread))
        return Series(values, self.rows[row : row + 1], spread, self.every, self.agg)

    def periods(self, length: timedelta) -> int:
        """Count the periods of a time; at least one."""
        return max(1, round(length / self.every))


@dataclass(frozen=True)
class Band:
    """What was to be expected of each period, shape (series, periods); NaN where that cannot be told.

    Attributes:
        expected: The figure.
        low: Below it is unusual.
        high: Above it is unusual.
    """

    expected: Array
    low: Array
    high: Array

    @classmethod
    def around(cls, expected: Array, width: Array) -> Band:
        """Make a band of equal width on both sides."""
        return cls(expected, expected - width, expected + width)

    def widened(self, factor: float) -> Band:
        """Make a band whose edges are so many times as far from what is expected."""
        if factor == 1:
            return self
        low, high = (self.expected + factor * (edge - self.expected) for edge in (self.low, self.high))
        return Band(self.expected, low, high)


class Detector(ABC, Generic[S]):
    """A kind of detector.

    Register it under its kind as an entry point in ``proml_kedro.anomaly_detectors``, or by
    ``@proml_kedro.extensions.anomaly_detectors.register(kind)``. The configuration then asks for it::

        detector: {kind: KIND, SETTING: VALUE}

    :func:`proml_kedro.testing.check_anomaly_detector` proves its laws: above all that what it says of a period depends
    on earlier ones alone.

    Args:
        settings: What the configuration says.

    Attributes:
        Settings: The keys of its YAML.
        false_alarms: Highest rate, per period, at which it finds anomalies in noise without any.
    """

    Settings: ClassVar[type[DetectorSpec]]
    false_alarms: ClassVar[float] = 0.002

    def __init__(self, settings: S) -> None:
        self.settings = settings

    @abstractmethod
    def band(self, series: Series) -> Band:
        """Say what was to be expected of each period, from those before it alone."""

    def example(self) -> tuple[Array, int]:
        """Make values of a series, and the position of an anomaly that it must find."""
        values = np.random.default_rng(0).normal(100, 2, 120)
        values[100] = 160
        return values, 100


def detector_of(settings: DetectorSpec) -> Detector[DetectorSpec]:
    """Return the detector that the configuration asks for."""
    from proml_kedro.extensions import anomaly_detectors

    found: Detector[DetectorSpec] = anomaly_detectors.get(settings.kind)(settings)
    return found
