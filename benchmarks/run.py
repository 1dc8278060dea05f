"""What a run costs outside of training and joins: the first run, and one that has nothing left to do.

    python benchmarks/run.py

Prints a table, and last one line of JSON. CPU seconds are those of the whole process and its children.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEDRO = Path(sys.executable).with_name("kedro")
ROOT = Path(__file__).parents[1]
REPEATS = 3


def measure(*arguments: str) -> dict[str, float]:
    """CPU and wall seconds of one command, and the peak memory of its largest process in MB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(KEDRO), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    peak = re.search(r"peak memory (\d+) MB", done.stdout)
    return {
        "exit": done.returncode,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": wall,
        "memory": float(peak[1]) if peak else float("nan"),
    }


def median(name: str, *arguments: str) -> dict[str, float]:
    """Medians over a few repeats, printed as a row."""
    runs = [measure(*arguments) for _ in range(REPEATS)]
    return row(name, {key: statistics.median(one[key] for one in runs) for key in runs[0]})


def row(name: str, figures: dict[str, float]) -> dict[str, float]:
    """Print one row of the table."""
    cells = (f"{figures['cpu']:>8.1f}", f"{figures['wall']:>8.1f}", f"{figures['memory']:>10.0f}")
    print(f"{name:<28} {' '.join(cells)} {figures['exit']:>5.0f}")
    return figures


def main() -> None:
    """Measure and print."""
    os.environ["COLUMNS"] = "200"
    print(f"{'':<28} {'CPU s':>8} {'wall s':>8} {'peak MB':>10} {'exit':>5}")
    with tempfile.TemporaryDirectory() as data:
        where = f"data_dir={data}"
        first = row("first run", measure("run", where))
        again = median("run with nothing left to do", "run", where)
    usage = median("kedro run --help", "run", "--help")
    mistake = median("a mistake in an override", "run", "model=xgbost")
    figures = {"first": first, "again": again, "help": usage, "mistake": mistake}
    print(json.dumps({f"{name}_{key}": round(value, 2) for name, one in figures.items() for key, value in one.items()}))


if __name__ == "__main__":
    main()
