"""What Feast's registry costs at 13,413 features in 1,346 views: registering, registering again, and loading it.

    python benchmarks/registry.py

Prints a table, and last one line of JSON. The features are windows over ten tables with two keys.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.spec import FeaturesSpec, HardwareSpec, ProblemSpec

FEATURES, VIEWS = 13_413, 1_346
HARDWARE = HardwareSpec(threads=1)
KEYS = pa.table({"member": pa.array([], pa.int64()), "job": pa.array([], pa.int64())})
"""What the registry looks at of a feature table: the types of its keys."""


def problem() -> ProblemSpec:
    """A problem with ten tables."""
    tables = {"examples": {"source": "examples.parquet"}}
    tables |= {f"events_{number}": {"source": f"events_{number}.parquet"} for number in range(10)}
    return ProblemSpec.model_validate(
        {
            "name": "large",
            "tables": tables,
            "examples": {"table": "examples", "entities": ["member", "job"], "timestamp": "at"},
            "label": {"expression": "clicked"},
            "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01"},
        }
    )


def features() -> FeaturesSpec:
    """The views: nine or ten windows in each."""
    smaller = 10 * VIEWS - FEATURES
    return FeaturesSpec.model_validate(
        {f"view_{number}": view(number, 9 if number < smaller else 10) for number in range(VIEWS)}
    )


def view(number: int, size: int) -> dict[str, Any]:
    """A view with ``size`` features."""
    windows = [f"{hours}h" for hours in (1, 3, 6, 12, 24, 48, 96, 168, 336, 672)]
    return {
        "key": "member" if number % 2 else "job",
        "source": {"table": f"events_{number % 10}", "event_time": "at"},
        "snapshot": "1h",
        "owner": f"team{number % 40}@example.com",
        "features": {"clicks": {"agg": "count", "windows": windows[:size], "description": "clicks"}},
    }


def measure(name: str, work: Callable[[], Any]) -> float:
    """Run it and print its row; CPU seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    spent = time.process_time() - cpu
    print(f"{name:<40} {spent:>8.2f} {time.perf_counter() - wall:>8.2f}")
    return spent


def main() -> None:
    """Measure and print."""
    import feast  # noqa: F401 (its seven seconds are not the registry's)

    declared, asked = features(), problem()
    columns = declared.columns()
    assert (len(declared.views), len(columns)) == (VIEWS, FEATURES)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        tables = data_dir / asked.name / "feature_tables"
        tables.mkdir(parents=True)
        for name in declared.views:
            pq.write_table(KEYS, tables / f"{name}.parquet")

        def apply() -> None:
            register(open_repository(asked, declared, data_dir, HARDWARE), asked, declared, "large_model", columns)

        print(f"{'':<40} {'CPU s':>8} {'wall s':>8}")
        figures = {
            "apply_s": measure("register, nothing there yet", apply),
            "again_s": measure("register again, nothing changed", apply),
            "load_s": measure(
                "open the registry and list all views",
                lambda: open_repository(asked, declared, data_dir, HARDWARE).list_feature_views(),
            ),
        }
        size = (data_dir / "feature_store" / "registry.db").stat().st_size / 2**20
    print(f"{FEATURES:,} features in {VIEWS:,} views; the registry's file has {size:.1f} MB")
    print(json.dumps({"features": FEATURES, "views": VIEWS, **{k: round(v, 2) for k, v in figures.items()}}))


if __name__ == "__main__":
    main()
