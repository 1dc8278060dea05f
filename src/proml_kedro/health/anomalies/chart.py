"""Figures over time with their bands, as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.health.anomalies.detector import Band
from proml_kedro.health.anomalies.series import Figures
from proml_kedro.results.anomalies import ALL, Anomaly, Chart

MOST_PERIODS = 400
"""The newest periods that are drawn."""
MOST_CHARTS = 30
"""Charts of a monitor."""


def charts_of(name: str, figures: Figures, band: Band, anomalies: Sequence[Anomaly]) -> list[Chart]:
    """Return the figure of all rows, and those of which there are anomalies.

    Args:
        name: Of the monitor.
        figures: Its figures.
        band: Their bands.
        anomalies: Those of the monitor, the newest first.
    """
    wanted = dict.fromkeys([(ALL, ""), *((one.dimension, one.value) for one in anomalies)])
    first = max(0, figures.periods.count - MOST_PERIODS)
    place = {key: row for row, key in enumerate(figures.names)}
    return [
        Chart(
            name,
            *key,
            figures.periods.begin(first),
            figures.periods.every.total_seconds(),
            *(
                _numbers(part[place[key], first:])
                for part in (figures.series.values, band.expected, band.low, band.high)
            ),
        )
        for key in list(wanted)[:MOST_CHARTS]
    ]


def _numbers(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(_short(values.tolist()))


def _short(values: Iterable[float]) -> Iterable[float | None]:
    """Write numbers with six digits; None for those that are not known or have no end."""
    return (float(f"{one:.6g}") if np.isfinite(one) else None for one in values)
