"""How well detectors find known anomalies, how often they raise a false alarm, and what they cost.

    python benchmarks/anomalies.py

Daily series of a year with a week, a trend and noise of deviation 1 (``tests/anomaly_data.py``); three anomalies in
each, spikes, shifts, ramps and dropouts, of the size that is named. Holt and Winters' smoothing, whose parameters
statsmodels fits to each of ten whole series, looks ahead.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from anomaly_data import Array, broken, clean, f1, found_in, settings
from proml_kedro.health.anomalies.detect import intervals

KINDS = ("seasonal", "holt_winters", "level", "mean_variance")
SIZES, SERIES, FITTED = (3.0, 4.0, 6.0), 60, 10


def fitted(values: Array) -> list[list[tuple[int, int]]]:
    """Find what is 4.5 robust deviations from the fit of statsmodels."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    found = []
    for row in values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ExponentialSmoothing(row, trend="add", seasonal="add", seasonal_periods=7)
            apart = row - model.fit().fittedvalues
        side = np.sign(apart) * (np.abs(apart) > 4.5 * 1.4826 * np.median(np.abs(apart)))
        found.append([(one[0], one[-1]) for one in intervals(side.astype(np.int64), 1)])
    return found


def main() -> None:
    """Print the tables."""
    print(f"{'':22}" + "".join(f"{size:g} deviations: P / R / F1   " for size in SIZES) + "false alarms a year, cost")
    data = [broken(np.random.default_rng(5), SERIES, size) for size in SIZES]
    quiet = clean(np.random.default_rng(6), SERIES)
    detectors = {spec.kind: lambda values, spec=spec: found_in(values, spec) for spec in settings(KINDS)}
    for name, find in {**detectors, "statsmodels, fitted": fitted}.items():
        number = FITTED if find is fitted else SERIES
        start = time.process_time()
        reached = [f1(find(values[:number]), truth[:number]) for values, truth in data]
        cost = (time.process_time() - start) / len(data) / number
        cells = "".join(f"{'':10}{'/ '.join(f'{one:.2f} ' for one in each)}     " for each in reached)
        alarms = sum(map(len, find(quiet[:number]))) / number
        print(f"{name:22}{cells}{alarms:.2f}, {1000 * cost:.1f} CPU-ms a series")
    start = time.process_time()
    found_in(clean(np.random.default_rng(7), 1000), next(settings(("seasonal",))))
    print(f"1,000 series of 365 days, seasonal: {time.process_time() - start:.1f} CPU-s")


if __name__ == "__main__":
    main()
