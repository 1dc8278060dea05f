"""The laws of anomaly detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.extensions import anomaly_detectors
from proml_kedro.health.anomalies.detect import sides
from proml_kedro.health.anomalies.detector import Band, Detector, Series, detector_of
from proml_kedro.spec.anomalies import DetectorSpec

Array = npt.NDArray[np.float64]

_PERIODS, _SERIES = 300, 40


def check_anomaly_detector(kind: str, settings: Mapping[str, Any] | None = None) -> None:
    """Prove the laws for one kind of anomaly detector.

    In a test of your own::

        class TwiceSettings(DetectorSpec):
            times: float = 2.0


        @anomaly_detectors.register("twice")
        class Twice(Detector[TwiceSettings]):
            # What is several times as much as in the period before.
            Settings = TwiceSettings

            def band(self, series):
                before = np.roll(series.values, 1, axis=1)
                before[:, 0] = np.nan
                return Band(before, np.zeros_like(before), self.settings.times * before)

            def example(self):
                return np.array([5.0] * 20 + [15.0]), 20


        def test_twice():
            check_anomaly_detector("twice", {"times": 2.5})

    Args:
        kind: Its name in the registry.
        settings: The keys of its YAML; its defaults when None.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    chosen: DetectorSpec = anomaly_detectors.get(kind).Settings.model_validate({"kind": kind, **(settings or {})})
    detector = detector_of(chosen)
    assert type(detector).__doc__, "the detector says nowhere what it finds"
    noise = np.random.default_rng(1).normal(100, 2, (_SERIES, _PERIODS))
    _check_example(detector)
    _check_causal(detector, noise[:6])
    _check_apart(detector, noise)
    _check_false_alarms(detector, noise)
    _check_rare_series(detector)


def _series(values: Array, rows: Array | None = None) -> Series:
    count = np.full(values.shape, 1e6) if rows is None else rows
    return Series(values, count, np.ones_like(values), timedelta(days=1), "mean")


def _check_example(detector: Detector[DetectorSpec]) -> None:
    values, place = detector.example()
    values = values[None, :]
    outside = sides(values, detector.band(_series(values)))[0]
    assert outside[place], "it does not find the anomaly in its own example"


def _check_causal(detector: Detector[DetectorSpec], noise: Array) -> None:
    """Cut each series at 30 points, and change what comes later: what was said of earlier periods stays."""
    gaps = np.where(np.random.default_rng(2).random(noise.shape) < 0.05, np.nan, noise)
    whole = detector.band(_series(gaps))
    for end in np.linspace(2, _PERIODS - 1, 30).astype(int):
        cut = detector.band(_series(gaps[:, :end]))
        later = detector.band(_series(np.concatenate([gaps[:, :end], 1e3 + gaps[:, end:]], axis=1)))
        for other, how in ((cut, "how long the series is"), (later, "later periods")):
            same = all(
                np.array_equal(getattr(whole, one)[:, :end], getattr(other, one)[:, :end], equal_nan=True)
                for one in ("expected", "low", "high")
            )
            assert same, f"what it says of a period depends on {how}"
        now = gaps.copy()
        now[:, end] = 1e3
        own = detector.band(_series(now)).expected[:, end]
        assert np.array_equal(own, whole.expected[:, end], equal_nan=True), (
            "what it expects depends on the period itself"
        )


def _check_apart(detector: Detector[DetectorSpec], noise: Array) -> None:
    whole, alone = detector.band(_series(noise)), detector.band(_series(noise[3:4]))
    same = np.allclose(whole.expected[3], alone.expected[0], equal_nan=True, rtol=1e-9)
    assert same, "what it says of a series depends on others"


def _check_false_alarms(detector: Detector[DetectorSpec], noise: Array) -> None:
    """The bound is the declared rate and three standard errors; limits of users are not about noise of ours."""
    band = detector.band(_series(noise))
    limits = np.isfinite(band.high) & np.isfinite(band.low)
    if not limits.any() or (band.high == band.high[0, -1]).all() or (band.low == band.low[0, -1]).all():
        return
    alarms, rate = int(np.count_nonzero(sides(noise, band))), detector.false_alarms
    allowed = rate * noise.size + 3 * math.sqrt(rate * (1 - rate) * noise.size)
    assert alarms <= allowed, (
        f"{alarms} false alarms in {noise.size:,} periods of noise; at the declared rate of {rate} there may be "
        f"{allowed:.0f}"
    )


def _check_rare_series(detector: Detector[DetectorSpec]) -> None:
    """Look at whatever may come; a detector that raises here would take all others with it."""
    empty = np.full((2, 90), np.nan)
    rare = [
        empty,
        np.zeros((2, 90)),
        np.full((2, 90), 7.0),
        np.full((2, 1), 5.0),
        np.tile(1e300 * np.linspace(-1, 1, 90), (2, 1)),
    ]
    rare.append(np.where(np.arange(90) == 50, 5.0, empty))
    rare.append(np.where(np.arange(90) % 3 == 0, 1e12, np.zeros((2, 90))))
    for values in rare:
        with np.errstate(all="ignore"):
            band: Band = detector.band(_series(values))
            none = detector.band(replace(_series(values), rows=np.zeros_like(values)))
        for one in (band, none):
            shapes = {one.expected.shape, one.low.shape, one.high.shape}
            assert shapes == {values.shape}, f"its band has the shapes {shapes}, and the series {values.shape}"
    constant = np.full((1, 90), 7.0)
    assert not sides(constant, detector.band(_series(constant)))[:, 20:].any() or _has_limits(detector, constant), (
        "it finds anomalies in a constant series"
    )


def _has_limits(detector: Detector[DetectorSpec], values: Array) -> bool:
    band = detector.band(_series(values))
    return bool((band.high == band.high[0, 0]).all() and (band.low == band.low[0, 0]).all())
