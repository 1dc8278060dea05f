"""What reading a source table costs, against DuckDB's own reader of the same file with the same types.

Last, what many columns cost, and what scoring a table costs.

    python benchmarks/tables.py                                # 10 million rows of 10 columns; 10,000 columns
    python benchmarks/tables.py --rows 1e6 --columns 2000

Both write Parquet. ``csv_ratio`` is CPU seconds of reading a CSV file whose types are all declared, checked cell by
cell and with the warnings of a check, over those of DuckDB's ``read_csv`` with the same types, which checks less;
``guessed_ratio`` is the same with no type declared, over ``read_csv`` that guesses by the whole file;
``parquet_ratio`` is that of a Parquet file. Each is the median of three rounds, taken in turns.

``wide_cpu`` is the features pipeline over a table of many columns, imports included, ``training_cpu`` and ``wide_gb``
CPU seconds and peak memory of a training set of 1,000 features: see wide.py. ``predict_ratio`` is scoring so many rows
by trees into a file, over reading them and XGBoost's own prediction: see predict.py.

Prints a table, and last one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from predict import predict_ratio
from proml_kedro.features.tables.read import read_tables
from proml_kedro.spec import FeaturesSpec, HardwareSpec, ProblemSpec
from wide import many_views, wide_table

HARDWARE = HardwareSpec(threads=2, memory="1GB")
TYPES = {
    "k": "BIGINT",
    "at": "TIMESTAMP",
    "n": "BIGINT",
    "m": "INTEGER",
    "x": "DOUBLE",
    "y": "DOUBLE",
    "z": "DOUBLE",
    "day": "DATE",
    "s": "VARCHAR",
    "flag": "BOOLEAN",
}
ROWS = """
    SELECT (random() * 1e5)::BIGINT AS k, TIMESTAMP '2024-01-01' + to_seconds((random() * 3e7)::BIGINT) AS at,
        (random() * 1e9)::BIGINT AS n, (random() * 100)::INT AS m, round(random() * 1000, 2) AS x, random() AS y,
        round(random(), 6) AS z, DATE '2020-01-01' + (random() * 1000)::INT AS day,
        'name' || (random() * 1000)::INT AS s, random() > 0.5 AS flag
    FROM range({})"""
FEATURES = FeaturesSpec.model_validate(
    {"v": {"key": "k", "source": {"table": "ev", "event_time": "at"}, "features": {"x": {"dtype": "float"}}}}
)


def problem(**events: Any) -> ProblemSpec:
    """A problem whose events are the large table."""
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"ex": {"source": "ex.csv"}, "ev": events},
            "examples": {"table": "ex", "entities": ["k"], "timestamp": "at"},
            "label": {"expression": "y = 1"},
            "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01"},
        }
    )


def ours(folder: Path, **events: Any) -> None:
    """Read by the project."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        read_tables(problem(**events), FEATURES, folder, HARDWARE, Path(target))


def plain(folder: Path, rows: str) -> None:
    """Read by DuckDB alone, with the same settings."""
    with duckdb.connect() as connection:
        connection.execute(
            f"SET threads = {HARDWARE.threads}; SET memory_limit = '{HARDWARE.memory}'; SET TimeZone = 'UTC'"
        )
        connection.execute(f"COPY (FROM {rows}) TO '{folder / 'plain.parquet'}' (FORMAT parquet, COMPRESSION zstd)")


def medians(*runs: Callable[[], None]) -> list[float]:
    """CPU seconds of each, the median of three rounds."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(3):
        for one, run in zip(seconds, runs, strict=True):
            start = time.process_time()
            run()
            one.append(time.process_time() - start)
    return [median(one) for one in seconds]


def many_columns(columns: int) -> dict[str, float]:
    """Figures of wide tables."""
    figures: dict[str, float] = {"wide_columns": columns}
    with tempfile.TemporaryDirectory() as folder:
        figures["wide_cpu"] = round(wide_table(Path(folder), columns), 1)
    with tempfile.TemporaryDirectory() as folder:
        many = many_views(Path(folder))
    return figures | {"training_cpu": round(many["cpu"], 2), "wide_gb": round(many["gb"], 2)}


def main() -> None:
    """Write the files, read them, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--columns", type=int, default=10_000)
    arguments = parser.parse_args()
    rows = int(arguments.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({ROWS.format(rows)}) TO '{folder / 'ev.parquet'}' (FORMAT parquet)")
            connection.execute(f"COPY (FROM '{folder / 'ev.parquet'}') TO '{folder / 'ev.csv'}' (HEADER)")
        lines = "".join(f"{one},2024-01-{1 + one % 28:02d},{one % 2}\n" for one in range(1000))
        (folder / "ex.csv").write_text(f"k,at,y\n{lines}")
        columns = ", ".join(f"'{column}': '{type_}'" for column, type_ in TYPES.items())
        csv = f"read_csv('{folder / 'ev.csv'}', header = true, auto_detect = false, columns = {{{columns}}})"
        guessed = f"read_csv('{folder / 'ev.csv'}', header = true, sample_size = -1)"
        seconds = medians(
            lambda: ours(folder, source="ev.csv", types=TYPES),
            lambda: plain(folder, csv),
            lambda: ours(folder, source="ev.csv"),
            lambda: plain(folder, guessed),
            lambda: ours(folder, source="ev.parquet"),
            lambda: plain(folder, f"'{folder / 'ev.parquet'}'"),
        )
    figures: dict[str, float] = {"rows": rows}
    for place, what in enumerate(("csv", "guessed", "parquet")):
        own, other = seconds[2 * place : 2 * place + 2]
        print(f"{what:<8} {own:7.2f} CPU-s, DuckDB alone {other:7.2f}")
        figures |= {f"{what}_seconds": round(own, 2), f"{what}_ratio": round(own / other, 2)}
    figures |= many_columns(arguments.columns)
    print(f"{arguments.columns:,} columns {figures['wide_cpu']} CPU-s, 1,000 features {figures['training_cpu']} CPU-s")
    scoring = predict_ratio(rows, flat=False)
    print(json.dumps(figures | {name: round(value, 2) for name, value in scoring.items()}))


if __name__ == "__main__":
    main()
