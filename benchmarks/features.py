"""What the point-in-time join and the windows cost.

    python benchmarks/features.py                    # all of it, about ten minutes on one core
    python benchmarks/features.py --rows 1000000     # fewer generated events

The join: 300,000 real flights, three views, 20 features, through Feast on our store, beside a query written by hand
for the same joins; one after the other, each in a process of its own, a few times over. Where the extra
``feast[duckdb]`` is installed, also beside Feast's own duckdb store, with a TTL for every view: without one it needs
memory for each pair of an example and an earlier value, so that is run over a few examples only. The windows: generated
events, 12 windows of one aggregate, with 1 GB of memory. Prints tables, and last one line of JSON. CPU seconds leave
out imports; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from proml_kedro.config import HydraConfigLoader
from proml_kedro.engine.session import connect
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

ROOT = Path(__file__).parents[1]
HARDWARE = HardwareSpec(threads=1, memory="1GB")
EXAMPLES = 300_000
REPEATS = 5
FEW_EXAMPLES = 50_000
TTLS = {"weather": timedelta(hours=6), "plane": timedelta(days=20_000), "delays": timedelta(days=7)}

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
PLANE = {"built": "year", "manufacturer": "manufacturer", "model": "model", "seats": "seats", "engines": "engines"}
DELAYS = {
    "departures": {"agg": "count"},
    "delay": {"agg": "mean", "expression": "dep_delay"},
    "late": {"agg": "rate", "expression": "dep_delay > 15"},
}
WINDOWS = ["1h", "2h", "3h", "6h", "12h", "1d", "2d", "3d", "7d", "14d", "30d", "all"]
AGGREGATES: dict[str, dict[str, Any]] = {
    "count": {},
    "mean": {"expression": "x"},
    "rate": {"expression": "x > 1"},
    "last": {"expression": "x"},
    "decay": {"expression": "x", "half_life": "6h"},
    "count_distinct": {"expression": "item"},
    "std": {"expression": "x"},
    "quantile": {"expression": "x", "q": 0.9},
}


def join_features(ttl: bool) -> FeaturesSpec:
    """Three views of 20 features."""
    weather = {"table": "weather", "event_time": "time_hour", **({"ttl": "6h"} if ttl else {})}
    return FeaturesSpec.model_validate(
        {
            "weather": {"key": "origin", "source": weather, "features": {one: {"dtype": "float"} for one in WEATHER}},
            "plane": {
                "key": "tailnum",
                "source": {"table": "planes"},
                "features": {
                    name: {"dtype": "str" if name in ("manufacturer", "model") else "int", "expression": column}
                    for name, column in PLANE.items()
                },
            },
            "delays": {
                "key": ["carrier", "dest"],
                "source": {"table": "flights", "event_time": "departed_at"},
                "defaults": {"windows": ["7d", "all"]},
                "features": DELAYS,
            },
        }
    )


def prepare_join(folder: Path) -> None:
    """Tables, feature tables and Feast repositories, with TTL and without."""
    from proml_kedro.features.feast.repository import open_repository, register
    from proml_kedro.features.tables.read import read_tables

    problem = HydraConfigLoader(ROOT / "conf").loaded.run.problem
    tables = folder / "tables"
    tables.mkdir()
    read_tables(problem, join_features(ttl=True), ROOT, HARDWARE, tables)
    for ttl in (True, False):
        features, data = join_features(ttl), folder / f"ttl_{ttl}"
        views = data / problem.name / "feature_tables"
        views.mkdir(parents=True)
        compute_views(problem, features, tables, HARDWARE, views)
        store = open_repository(problem, features, data, HARDWARE)
        register(store, problem, features, "all", features.columns(), views)
    # The same views once more, each with a TTL: Feast's own store cannot do without.
    with_ttl = folder / "ttl_all"
    shutil.copytree(folder / "ttl_True" / "flight_delays", with_ttl / "flight_delays")
    store = open_repository(problem, features, with_ttl, HARDWARE)
    views = with_ttl / problem.name / "feature_tables"
    register(store, problem, join_features(ttl=False), "all", features.columns(), views)
    for view in store.list_feature_views():
        view.ttl = TTLS[view.name]
        store.apply(view)


def peers(folder: Path, method: str, views: str, rows: int) -> Callable[[], Any]:
    """The join through Feast into an Arrow table, by our store or by Feast's own."""
    from feast import FeatureStore, RepoConfig

    from proml_kedro.features.feast.repository import open_repository

    problem = HydraConfigLoader(ROOT / "conf").loaded.run.problem
    features = join_features(ttl=False)
    store = open_repository(problem, features, folder / views, HARDWARE)
    if method == "feast_duckdb":
        config = store.config.model_dump() | {"offline_store": {"type": "duckdb"}}
        place = {"registry": store.config.registry.model_dump(), "repo_path": store.repo_path}
        kept = {name: config[name] for name in ("project", "provider", "offline_store")}
        store = FeatureStore(
            repo_path=str(store.repo_path), config=RepoConfig(**kept, **place, entity_key_serialization_version=3)
        )
    refs = [name.replace(".", ":") for name in features.columns()]
    entities = duckdb.sql(f"FROM ({entities_sql(folder)}) LIMIT {rows}").df()
    return lambda: store.get_historical_features(entities, features=refs, full_feature_names=True).to_arrow()


def entities_sql(folder: Path) -> str:
    """The examples."""
    return (
        "SELECT file_row_number AS example_id, tailnum, carrier, origin, dest, scheduled_departure AS event_timestamp "
        f"FROM read_parquet('{folder}/tables/flights.parquet', file_row_number = true) LIMIT {EXAMPLES}"
    )


def ours(folder: Path, ttl: bool, target: Path) -> Callable[[], Any]:
    """The join as a run makes it: through Feast, to a Parquet file in the order of the examples."""
    from proml_kedro.features.feast.repository import open_repository

    problem = HydraConfigLoader(ROOT / "conf").loaded.run.problem
    features = join_features(ttl)
    store = open_repository(problem, features, folder / f"ttl_{ttl}", HARDWARE)
    refs = [name.replace(".", ":") for name in features.columns()]

    def join() -> Any:
        return store.get_historical_features(entities_sql(folder), features=refs, full_feature_names=True).join

    join()  # nothing runs yet, but whatever Feast imports late is imported
    return lambda: int(join().write_parquet(target, order_by="example_id"))


def by_hand(folder: Path, ttl: bool, target: Path) -> Callable[[], Any]:
    """The same rows and columns as one would write the query without a framework."""
    keys = {"weather": ["origin"], "plane": ["tailnum"], "delays": ["carrier", "dest"]}
    selected, joins = ["e.*"], []
    for name, view in join_features(ttl).views.items():
        for column in view.columns():
            value = f"{name}.{column}"
            if ttl and name == "weather":
                value = f"CASE WHEN e.event_timestamp - {name}.event_timestamp <= INTERVAL 6 HOUR THEN {value} END"
            selected.append(f"{value} AS {name}__{column}")
        same = " AND ".join(f"e.{key} = {name}.{key}" for key in keys[name])
        file = folder / f"ttl_{ttl}" / "flight_delays" / "feature_tables" / f"{name}.parquet"
        joins.append(f"ASOF LEFT JOIN '{file}' {name} ON {same} AND e.event_timestamp >= {name}.event_timestamp")
    query = f"SELECT {', '.join(selected)} FROM ({entities_sql(folder)}) e {' '.join(joins)} ORDER BY example_id"

    def run() -> None:
        with connect(HARDWARE, folder) as session:
            session.write_parquet(query, target)

    return run


def prepare_events(folder: Path, rows: int) -> None:
    """Generated events of 1,000 keys, some far busier than others, in 90 days."""
    tables = folder / "tables"
    tables.mkdir()
    with duckdb.connect(config={"threads": 1, "memory_limit": "1GB"}) as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            "COPY (SELECT (1000 * pow(random(), 2))::BIGINT AS key, "
            "TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_microseconds((random() * 90 * 86400e6)::BIGINT) AS at, "
            f"random() * 2 AS x, (pow(random(), 3) * 5000)::BIGINT AS item FROM range({rows})) "
            f"TO '{tables}/events.parquet' (FORMAT parquet)"
        )


def windows(folder: Path, agg: str) -> Callable[[], Any]:
    """One aggregate over 12 windows of all events."""
    problem = ProblemSpec.model_validate(
        {
            "name": "generated",
            "tables": {"events": {"source": "events.parquet"}},
            "examples": {"table": "events", "entities": ["key"], "timestamp": "at"},
            "label": {"expression": "x > 1"},
            "split": {"validation_from": "2024-03-01", "test_from": "2024-03-15"},
        }
    )
    view = {
        "key": "key",
        "source": {"table": "events", "event_time": "at"},
        "features": {"f": {"agg": agg, "windows": WINDOWS, **AGGREGATES[agg]}},
    }
    features = FeaturesSpec.model_validate({agg: view})
    return lambda: compute_views(problem, features, folder / "tables", HARDWARE, folder)


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """CPU and wall seconds, and the peak memory of this process in MB."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_process(*arguments: str) -> dict[str, float]:
    """This script as a process of its own; what its last line says, or nothing if it fails."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(arguments)}: {(done.stderr.strip() or f'exit code {done.returncode}').splitlines()[-1]}")
        return {}
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def different_cells(one: Path, other: Path) -> int:
    """Rows of one result that the other does not have, both ways."""
    with connect(HARDWARE) as session:
        query = "SELECT count(*) FROM (FROM read_parquet('{}') EXCEPT ALL FROM read_parquet('{}'))"
        counts = [session.row(query.format(*pair))[0] for pair in ((one, other), (other, one))]
    return sum(counts)


def report(name: str, figures: dict[str, float]) -> None:
    """One row of a table."""
    print(f"{name:<24}{figures['cpu']:>9.2f}{figures['wall']:>9.2f}{figures['memory']:>9.0f}", flush=True)


def compare_joins(repeats: int) -> dict[str, float]:
    """The two joins, one after the other."""
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        in_process("--prepare-join", folder)
        print(f"\n{f'{EXAMPLES:,} x 20 features':<24}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}")
        for ttl in ("ttl", "no_ttl"):
            runs: dict[str, list[dict[str, float]]] = {"ours": [], "by_hand": []}
            for _ in range(repeats):
                for method, done in runs.items():
                    done.append(in_process("--join", method, ttl, folder))
            for method, done in runs.items():
                middle = {key: statistics.median(one[key] for one in done) for key in done[0]}
                report(f"{method}, {ttl}", middle)
                result |= {f"join_{method}_{ttl}_{key}": value for key, value in middle.items()}
            result[f"join_ratio_{ttl}"] = result[f"join_ours_{ttl}_cpu"] / result[f"join_by_hand_{ttl}_cpu"]
            different = different_cells(*(Path(folder) / f"{method}_{ttl}.parquet" for method in runs))
            result[f"join_different_rows_{ttl}"] = different
            print(f"  ratio {result[f'join_ratio_{ttl}']:.2f}, rows that differ: {different}")
    return result


def compare_with_feast(repeats: int) -> dict[str, float]:
    """Our store beside Feast's own, both through Feast."""
    result: dict[str, float] = {}
    cases = [("ttl_all", EXAMPLES, repeats), ("ttl_False", FEW_EXAMPLES, 1)]
    with tempfile.TemporaryDirectory() as folder:
        in_process("--prepare-join", folder)
        for views, rows, times in cases:
            words = "every view with a TTL" if views == "ttl_all" else "no TTL"
            print(f"\n{f'{rows:,} x 20, {words}':<36}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}")
            for method in ("ours", "feast_duckdb"):
                runs = [in_process("--peer", method, views, str(rows), folder) for _ in range(times)]
                if not all(runs):
                    continue
                middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                report(method.ljust(36), middle)
                result |= {f"feast_{views}_{method}_{key}": value for key, value in middle.items()}
    return result


def measure_windows(rows: int, aggregates: list[str]) -> dict[str, float]:
    """Each aggregate over generated events."""
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare_events(Path(folder), rows)
        print(f"\n{f'{rows:,} x {len(WINDOWS)} windows':<24}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}")
        for agg in aggregates:
            figures = in_process("--windows", agg, folder)
            if figures:
                report(agg, figures)
                result |= {f"windows_{agg}_{key}": value for key, value in figures.items()}
    return result


def child(arguments: argparse.Namespace) -> None:
    """What is measured in a process of its own."""
    if arguments.prepare_join:
        prepare_join(Path(arguments.prepare_join))
        print(json.dumps({}))
    elif arguments.peer:
        method, views, rows, name = arguments.peer
        print(json.dumps(measured(peers(Path(name), method, views, int(rows)))))
    elif arguments.join:
        method, ttl, name = arguments.join
        folder = Path(name)
        make = ours if method == "ours" else by_hand
        print(json.dumps(measured(make(folder, ttl == "ttl", folder / f"{method}_{ttl}.parquet"))))
    else:
        agg, name = arguments.windows
        print(json.dumps(measured(windows(Path(name), agg))))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the point-in-time join and the windows cost.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="generated events")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each join")
    parser.add_argument("--only", nargs="*", default=["join", "feast", *AGGREGATES], help="join, feast, or aggregates")
    parser.add_argument("--prepare-join", help=argparse.SUPPRESS)
    parser.add_argument("--join", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--peer", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--windows", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare_join or arguments.join or arguments.peer or arguments.windows:
        child(arguments)
        return
    figures = compare_joins(arguments.repeats) if "join" in arguments.only else {}
    figures |= compare_with_feast(arguments.repeats) if "feast" in arguments.only else {}
    aggregates = [one for one in AGGREGATES if one in arguments.only]
    if aggregates:
        figures |= measure_windows(arguments.rows, aggregates)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
