"""Detectors by medians of the past: what was unusual once is not learned from, until it is usual."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from proml_kedro.health.anomalies.detector import Band, Detector, Series
from proml_kedro.health.anomalies.rolling import MAD, past_median
from proml_kedro.spec.anomalies import DetectorSpec
from proml_kedro.spec.base import PositiveDuration

Array = npt.NDArray[np.float64]

_LEAST = 8
_RUNS = (1, 3, 7)
"""Numbers of periods whose mean is judged: a small shift is found by several of them."""
_MOST_OF_ONE = 3.0
"""Deviations that an earlier period counts at most in such a mean: one outlier is no shift."""
_OF_MEDIAN = 1.57
"""Variance of a median of normal numbers, times their number, in variances of one of them (π/2)."""


class LevelSettings(DetectorSpec):
    """A level without seasons.

    Attributes:
        deviations: How many standard deviations from what is expected are unusual.
        window: Over how many earlier periods the level is.
        noise_over: Over how many earlier periods the standard deviation is.
        floor: Smallest standard deviation, as a share of what is expected.
    """

    deviations: Annotated[float, Field(gt=0)] = 4.5
    window: Annotated[int, Field(ge=3)] = 28
    noise_over: Annotated[int, Field(ge=8)] = 56
    floor: Annotated[float, Field(ge=0)] = 0.01


class SeasonalSettings(LevelSettings):
    """A level with a season.

    Attributes:
        season: Length after which the pattern repeats; it is learned from two of them on.
        seasons: By how many earlier seasons the pattern is told.
    """

    season: PositiveDuration = timedelta(days=7)
    seasons: Annotated[int, Field(ge=2)] = 8


class Level(Detector[LevelSettings]):
    """What lies far from the median of the periods before, a steady trend allowed for."""

    Settings = LevelSettings

    def band(self, series: Series) -> Band:
        """Say what was to be expected."""
        window = self.settings.window
        level, drift = _level(series.values, window)
        return noise_band(series, level + drift, self.settings)


class Seasonal(Detector[SeasonalSettings]):
    """What lies far from the level of the periods before, and the same times of earlier seasons.

    The pattern of seasons is pulled towards none, by how much of its differences noise alone would make.
    """

    Settings = SeasonalSettings

    def band(self, series: Series) -> Band:
        """Say what was to be expected."""
        season = series.periods(self.settings.season)
        window = max(1, round(self.settings.window / season)) * season
        level, drift = _level(series.values, window)
        apart = series.values - level - drift
        pattern = past_median(apart, self.settings.seasons, 2, season)
        noise = MAD * past_median(np.abs(apart - pattern), self.settings.seasons, 2, season)
        kept = _kept(pattern, _OF_MEDIAN * noise**2 / self.settings.seasons, _met(series.values, season), season)
        expected = level + drift + np.nan_to_num(kept) * np.nan_to_num(pattern)
        # Until the pattern is known nothing is expected: the first weekends would be unusual.
        is_known = np.maximum.accumulate(np.isfinite(kept), axis=1)
        return noise_band(series, np.where(is_known, expected, np.nan), self.settings)

    def example(self) -> tuple[Array, int]:
        """Make a week's pattern of ±30 with a Sunday that is like a Monday."""
        values = 100 + 30 * np.sin(2 * np.pi * np.arange(140) / 7) + np.random.default_rng(0).normal(0, 2, 140)
        values[120] = values[113] + 25
        return values, 120


def noise_band(series: Series, expected: Array, settings: LevelSettings) -> Band:
    """Make a band as wide as earlier periods were off, and as figures of so few rows are.

    What earlier periods were off beyond the error of their rows is added to the error of this period's.
    """
    off = MAD * past_median(np.abs(series.values - expected), settings.noise_over, _LEAST)
    error = series.error(expected)
    beyond = np.maximum(off**2 - past_median(error**2, settings.noise_over, 1), 0.0)
    deviation = np.maximum(np.sqrt(error**2 + beyond), settings.floor * np.abs(expected))
    deviation = np.maximum(deviation, 1e-12)
    apart = np.clip(np.nan_to_num((series.values - expected) / deviation), -_MOST_OF_ONE, _MOST_OF_ONE)
    high, low = (
        np.min([settings.deviations * math.sqrt(run) - _sum_before(sign * apart, run) for run in _RUNS], axis=0)
        for sign in (1, -1)
    )
    least = settings.deviations / _RUNS[1]  # what is hardly off is part of no shift
    return Band(expected, expected - np.maximum(low, least) * deviation, expected + np.maximum(high, least) * deviation)


def _sum_before(apart: Array, run: int) -> Array:
    """Sum the values of the periods before that make a run with this one."""
    found = np.zeros_like(apart)
    for back in range(1, run):
        found[:, back:] += apart[:, : apart.shape[1] - back]
    return found


def _level(values: Array, window: int) -> tuple[Array, Array]:
    """The median of the past, and how far a steady trend takes the next value from it."""
    level = past_median(values, window, min(_LEAST, window))
    apart = values - level
    drift = np.nan_to_num(past_median(apart, window, min(_LEAST, window)))
    noise = MAD * np.nan_to_num(past_median(np.abs(apart - drift), window, min(_LEAST, window)))
    by_noise = 2 * _OF_MEDIAN * noise**2 / window
    return level, drift * np.clip(1 - by_noise / np.maximum(drift**2, 1e-300), 0, 1)


def _met(values: Array, season: int) -> Array:
    """Whether a figure of the same phase has been met before, 0 or 1; a shop that is closed on Sundays has none."""
    met = np.zeros_like(values)
    for phase in range(season):
        found = np.maximum.accumulate(np.isfinite(values[:, phase::season]), axis=1)
        met[:, phase::season][:, 1:] = found[:, :-1]
    return met


def _kept(pattern: Array, error: Array, met: Array, season: int) -> Array:
    """How much of a pattern is more than noise, from 0 to 1: 1 less the share of its variance that noise makes.

    NaN until the pattern of each phase that has been met is known.

    Args:
        pattern: What each phase is apart from the level, by earlier seasons.
        error: Variance of that.
        met: Whether the phase of a period has been met before.
        season: Periods after which the pattern repeats.
    """
    if season < 2:
        return np.zeros_like(pattern)
    shifted, errors, phases = ([np.roll(one, back, axis=1) for back in range(season)] for one in (pattern, error, met))
    for back in range(season):
        shifted[back][:, :back] = errors[back][:, :back] = np.nan
        phases[back][:, :back] = 0
    with np.errstate(all="ignore"):
        known = np.isfinite(shifted).sum(axis=0)
        mean = np.nansum(shifted, axis=0) / np.maximum(known, 1)
        variance = np.nansum((np.array(shifted) - mean) ** 2, axis=0) / np.maximum(known - 1, 1)
        by_noise = np.nansum(errors, axis=0) / np.maximum(known, 1)
        kept = np.where(variance > 0, 1 - by_noise / variance, 0.0)
    wanted = np.sum(phases, axis=0)
    return np.asarray(np.where((known == wanted) & (wanted > 1), np.clip(kept, 0, 1), np.nan))
