"""Detectors that people set themselves: limits, changes, means and deviations, and Holt and Winters' smoothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from proml_kedro.health.anomalies.detector import Band, Detector, Series
from proml_kedro.health.anomalies.robust import SeasonalSettings, noise_band
from proml_kedro.health.anomalies.rolling import past_deviation, past_mean, past_median
from proml_kedro.spec.anomalies import DetectorSpec
from proml_kedro.spec.base import PositiveDuration

Array = npt.NDArray[np.float64]

_SHOWN = 28


class ThresholdSettings(DetectorSpec):
    """Limits.

    Attributes:
        min: Smallest figure that is usual.
        max: Largest one.
    """

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("sets no limit; write min, max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no figure is at least {self.min:g} and at most {self.max:g}")
        return self


class Threshold(Detector[ThresholdSettings]):
    """What is below or above a limit."""

    Settings = ThresholdSettings

    def band(self, series: Series) -> Band:
        """Return the limits, around the median of the periods before."""
        low = -np.inf if self.settings.min is None else self.settings.min
        high = np.inf if self.settings.max is None else self.settings.max
        middle = np.clip(past_median(series.values, _SHOWN, 1), low, high)
        nearest = low if np.isfinite(low) else high
        expected = np.where(np.isnan(middle), nearest, middle)
        return Band(expected, np.full_like(expected, low), np.full_like(expected, high))

    def example(self) -> tuple[Array, int]:
        """Make values within the limits, and one beyond."""
        high, low = self.settings.max, self.settings.min
        usual = high if high is not None else low
        assert usual is not None  # noqa: S101 - for the type checker
        values = np.full(60, usual)
        values[50] = usual + (1.0 if high is not None else -1.0) * max(1.0, abs(usual))
        return values, 50


class ChangeSettings(DetectorSpec):
    """A change.

    Attributes:
        share: Smallest change that is unusual, as a share of the earlier figure.
        since: How long before the earlier figure is.
    """

    share: Annotated[float, Field(gt=0)] = 0.5
    since: PositiveDuration = timedelta(days=7)


class Change(Detector[ChangeSettings]):
    """What has changed by more than a share since the same time before."""

    Settings = ChangeSettings
    false_alarms = 0.02

    def band(self, series: Series) -> Band:
        """Return the earlier figure, and the share of it on both sides."""
        back = series.periods(self.settings.since)
        earlier = np.full_like(series.values, np.nan)
        earlier[:, back:] = series.values[:, :-back]
        return Band.around(earlier, self.settings.share * np.abs(earlier))

    def example(self) -> tuple[Array, int]:
        """Make a figure that changes by more than the share."""
        values = np.full(60, 100.0)
        values[50] = 100 * (1.1 + self.settings.share)
        return values, 50


class MeanVarianceSettings(DetectorSpec):
    """Mean and standard deviation.

    Attributes:
        window: Of how many earlier periods.
        deviations: How many standard deviations from their mean are unusual.
    """

    window: Annotated[int, Field(ge=5)] = 28
    deviations: Annotated[float, Field(gt=0)] = 4.0


class MeanVariance(Detector[MeanVarianceSettings]):
    """What lies far from the mean of the periods before, in their standard deviations."""

    Settings = MeanVarianceSettings

    def band(self, series: Series) -> Band:
        """Say what was to be expected."""
        window = self.settings.window
        mean = past_mean(series.values, window, min(7, window))
        return Band.around(mean, self.settings.deviations * past_deviation(series.values, window, min(7, window)))


class HoltWintersSettings(SeasonalSettings):
    """Exponential smoothing with a trend and a season, both added.

    Attributes:
        level: How much of an error the level takes over.
        trend: How much of a change of the level the trend does.
        pattern: How much of an error the season does.
    """

    level: Annotated[float, Field(ge=0, le=1)] = 0.2
    trend: Annotated[float, Field(ge=0, le=1)] = 0.02
    pattern: Annotated[float, Field(ge=0, le=1)] = 0.1


class HoltWinters(Detector[HoltWintersSettings]):
    """What lies far from Holt and Winters' forecast (Winters 1960, additive), begun with the first two seasons.

    A period without a figure changes nothing but the level, by the trend.
    """

    Settings = HoltWintersSettings

    def band(self, series: Series) -> Band:
        """Say what was to be expected."""
        season = series.periods(self.settings.season)
        return noise_band(series, self.forecast(series.values, season), self.settings)

    def forecast(self, values: Array, season: int) -> Array:
        """Forecast each period from those before it, shape (series, periods); NaN in the first two seasons."""
        found = np.full_like(values, np.nan)
        if values.shape[1] <= 2 * season:
            return found
        first, second = (_filled(values[:, part * season : (part + 1) * season]) for part in (0, 1))
        trend = (second.mean(axis=1) - first.mean(axis=1)) / season
        level = second.mean(axis=1) + trend * (season - 1) / 2
        slope = trend[:, None] * (np.arange(season) - (season - 1) / 2)
        pattern = (first - first.mean(axis=1)[:, None] + second - second.mean(axis=1)[:, None]) / 2 - slope
        settings = self.settings
        for place in range(2 * season, values.shape[1]):
            phase = place % season
            found[:, place] = level + trend + pattern[:, phase]
            seen = np.where(np.isnan(values[:, place]), found[:, place], values[:, place])
            before = level
            level = settings.level * (seen - pattern[:, phase]) + (1 - settings.level) * (level + trend)
            taken = settings.pattern * (seen - before - trend)
            pattern[:, phase] = taken + (1 - settings.pattern) * pattern[:, phase]
            trend = settings.trend * (level - before) + (1 - settings.trend) * trend
        return found


def _filled(values: Array) -> Array:
    """Fill what is missing by the mean of the others; a series without any stays NaN."""
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return np.where(known, values, mean[:, None])
