"""Every anomaly detector obeys the laws, and the laws find detectors that do not."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.extensions import anomaly_detectors
from proml_kedro.health.anomalies.detector import Band, Detector
from proml_kedro.health.anomalies.rolling import past_median
from proml_kedro.spec.anomalies import DetectorSpec
from proml_kedro.testing import check_anomaly_detector

SETTINGS = {"threshold": {"max": 120.0}}


@pytest.mark.parametrize("kind", anomaly_detectors.names())
def test_every_anomaly_detector_obeys_the_laws(kind):
    check_anomaly_detector(kind, SETTINGS.get(kind))


class TwiceSettings(DetectorSpec):
    times: float = 2.0


class Twice(Detector[TwiceSettings]):
    """What is several times as much as in the period before."""

    Settings = TwiceSettings

    def band(self, series):
        before = np.full_like(series.values, np.nan)
        before[:, 1:] = series.values[:, :-1]
        return Band(before, np.zeros_like(before), self.settings.times * before)

    def example(self):
        return np.array([5.0] * 20 + [15.0]), 20


class OfTheWhole(Twice):
    """What is far from the mean of the whole series, which looks ahead."""

    def band(self, series):
        mean = np.broadcast_to(np.nanmean(series.values, axis=1, keepdims=True), series.values.shape)
        return Band(mean, 0 * mean, 1.5 * mean)


class OfAll(Twice):
    """What is far from the mean of all series in the period before."""

    def band(self, series):
        before = np.full_like(series.values, np.nan)
        before[:, 1:] = np.nanmean(series.values[:, :-1], axis=0)
        return Band(before, 0 * before, 2 * before)


class Nervous(Twice):
    """What is one per cent off the median."""

    def band(self, series):
        return Band.around(past_median(series.values, 28, 1), np.full_like(series.values, 1.0))


class Blind(Twice):
    """Nothing."""

    def band(self, series):
        return Band.around(past_median(series.values, 28, 1), np.full_like(series.values, np.inf))


def test_one_of_ones_own():
    with anomaly_detectors.temporary("twice", Twice):
        check_anomaly_detector("twice", {"times": 2.5})


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (OfTheWhole, "depends on"),
        (OfAll, "depends on others"),
        (Nervous, "false alarms in"),
        (Blind, "does not find the anomaly in its own example"),
    ],
)
def test_laws_find_what_is_broken(broken, law):
    with anomaly_detectors.temporary("broken", broken), pytest.raises(AssertionError, match=law):
        check_anomaly_detector("broken")
