"""Figures over time with anomalies that are known: what detectors are held to, in tests and in benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from proml_kedro.health.anomalies.detect import intervals, sides
from proml_kedro.health.anomalies.detector import Series, detector_of
from proml_kedro.spec.anomalies import DetectorSpec

Array = npt.NDArray[np.float64]

KINDS = ("spike", "shift", "dropout", "ramp")


def clean(generator: np.random.Generator, series: int, days: int = 365) -> Array:
    """Daily figures with a week, a trend and noise of deviation 1, shape (series, days)."""
    day = np.arange(days)
    week = generator.normal(0, 3, (series, 7))[:, day % 7]
    trend = generator.uniform(-0.02, 0.02, (series, 1)) * day
    return 50 + week + trend + generator.normal(0, 1, (series, days))


def broken(
    generator: np.random.Generator, series: int, size: float, days: int = 365
) -> tuple[Array, list[list[tuple[int, int]]]]:
    """Clean figures with three anomalies each from day 100 on, and where these are."""
    values, truth = clean(generator, series, days), []
    for row in range(series):
        spans = []
        for place in (110, 190, 270):
            begin = place + int(generator.integers(0, 40))
            kind = KINDS[int(generator.integers(0, len(KINDS)))]
            length = 1 if kind in ("spike", "dropout") else int(generator.integers(3, 8))
            sign = -1.0 if kind == "dropout" else generator.choice([-1.0, 1.0])
            shape = np.linspace(0.5, 1.5, length) if kind == "ramp" else np.ones(length)
            values[row, begin : begin + length] += sign * size * shape
            spans.append((begin, begin + length - 1))
        truth.append(spans)
    return values, truth


def series_of(values: Array, days: float = 1) -> Series:
    """Figures that are means of many rows."""
    return Series(values, np.full(values.shape, 1e9), np.ones_like(values), timedelta(days=days), "mean")


def found_in(values: Array, settings: DetectorSpec) -> list[list[tuple[int, int]]]:
    """Where a detector finds anomalies in each series."""
    outside = sides(values, detector_of(settings).band(series_of(values)))
    return [[(one[0], one[-1]) for one in intervals(side, 1)] for side in outside]


def f1(found: list[list[tuple[int, int]]], truth: list[list[tuple[int, int]]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of intervals: one that overlaps a true one is right; each true one counts once."""
    pairs = list(zip(found, truth, strict=True))
    right = sum(any(_overlap(one, true) for true in spans) for ours, spans in pairs for one in ours)
    seen = sum(any(_overlap(one, true) for one in ours) for ours, spans in pairs for true in spans)
    number, of = sum(map(len, found)), sum(map(len, truth))
    precision, recall = right / max(number, 1), seen / of
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def settings(kinds: tuple[str, ...]) -> Iterator[DetectorSpec]:
    """Default settings of kinds of detector."""
    for kind in kinds:
        yield DetectorSpec.for_value({"kind": kind}).model_validate({"kind": kind})
