"""What many columns cost: the features pipeline over a wide table, and a training set of many features.

    python benchmarks/wide.py                     # 10,000 columns, and 1,000 features in 10 views: minutes
    python benchmarks/wide.py --columns 2000      # a narrower table

The table: ``kedro run --pipelines=features`` on 1,000 rows, each column a feature of the request; all CPU of the run,
imports included. The training set: 17,000 examples by keys and moments, 10 views of 100 columns each, without imports;
memory is the peak of the process. Prints tables, and last one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

KEDRO = Path(sys.executable).with_name("kedro")
ROOT = Path(__file__).parents[1]
ROWS, EXAMPLES, VIEWS, COLUMNS, KEYS = 1000, 17_000, 10, 100, 500
HARDWARE = HardwareSpec(threads=1, memory="1GB")
SPLIT = {"validation_from": "2024-02-15", "test_from": "2024-03-15"}
CONFIG = """\
defaults: [problem: wide, features: wide, model: xgboost, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, catalog: default, _self_]
config_version: 1
"""


def moments(rows: int) -> Any:
    """Moments from January to March, evenly."""
    return np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(90 * 86400 // rows, "s")


def wide_table(folder: Path, columns: int) -> float:
    """CPU seconds of the features pipeline over a table of so many columns."""
    x = np.random.default_rng(0).normal(size=(ROWS, columns))
    own = {"k": np.arange(ROWS) % 50, "at": moments(ROWS), "y": x[:, 0] > 0.3}
    pq.write_table(pa.table({**own, **{f"c{one}": x[:, one] for one in range(columns)}}), folder / "wide.parquet")
    features = "".join(f"    c{one}: {{dtype: float}}\n" for one in range(columns))
    problem = {
        "tables": {"wide": {"source": str(folder / "wide.parquet")}},
        "examples": {"table": "wide", "entities": ["k"], "timestamp": "at"},
        "label": {"expression": "y"},
        "split": SPLIT,
    }
    texts = {
        "config.yaml": CONFIG,
        "problem/wide.yaml": json.dumps(problem),  # which is YAML too
        "features/wide.yaml": f"wide:\n  source: request\n  features:\n{features}",
    }
    for name, text in texts.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(KEDRO), "run", "--conf-source", str(folder / "conf"), f"data_dir={folder / 'data'}"]
    subprocess.run([*command, "--pipelines=features"], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def many_views(folder: Path) -> dict[str, float]:
    """CPU seconds and peak memory in GB of a training set of 1,000 features in 10 views."""
    generator = np.random.default_rng(1)
    tables, views, target = (folder / one for one in ("tables", "views", "training_set"))
    for one in (tables, views, target):
        one.mkdir()
    keys = generator.integers(0, KEYS, EXAMPLES)
    examples = {"k": keys, "at": moments(EXAMPLES), "y": generator.random(EXAMPLES) < 0.3}
    pq.write_table(pa.table(examples), folder / "examples.parquet")
    sources, features = {"examples": {"source": "examples.parquet"}}, {}
    for view in range(VIEWS):
        values = generator.normal(size=(4 * KEYS, COLUMNS))
        known = {"k": np.arange(4 * KEYS) % KEYS, "at": np.sort(generator.choice(moments(EXAMPLES), 4 * KEYS))}
        columns = {f"c{one}": values[:, one] for one in range(COLUMNS)}
        pq.write_table(pa.table({**known, **columns}), folder / f"v{view}.parquet")
        sources[f"v{view}"] = {"source": f"v{view}.parquet"}
        features[f"view{view}"] = {
            "key": "k",
            "source": {"table": f"v{view}", "event_time": "at"},
            "features": {name: {"dtype": "float"} for name in columns},
        }
    problem = ProblemSpec.model_validate(
        {
            "name": "wide",
            "tables": sources,
            "examples": {"table": "examples", "entities": ["k"], "timestamp": "at"},
            "label": {"expression": "y"},
            "split": SPLIT,
        }
    )
    spec = FeaturesSpec.model_validate(features)
    read_tables(problem, spec, folder, HARDWARE, tables)
    compute_views(problem, spec, tables, HARDWARE, views)
    command = [sys.executable, __file__, "--training-set", str(folder)]
    (folder / "problem.json").write_text(json.dumps([problem.model_dump(mode="json"), spec.model_dump(mode="json")]))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def training_set(folder: Path) -> None:
    """Build the training set in a process of its own; print its CPU seconds and peak memory as JSON."""
    from proml_kedro.features.feast.history import TablesHistory

    problem, features = json.loads((folder / "problem.json").read_text())
    problem, features = ProblemSpec.model_validate(problem), FeaturesSpec.model_validate(features)
    history = TablesHistory(problem, features, folder / "views", folder / "data", HARDWARE)
    start = time.process_time()
    tables, target = folder / "tables", folder / "training_set"
    build_training_set(problem, features, features.columns(), tables, history, HARDWARE, target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"cpu": time.process_time() - start, "gb": peak}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=10_000)
    parser.add_argument("--training-set", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.training_set:
        training_set(arguments.training_set)
        return
    with tempfile.TemporaryDirectory() as folder:
        many = many_views(Path(folder))
    print(f"training set, {EXAMPLES:,} x {VIEWS * COLUMNS:,}: {many['cpu']:.1f} CPU-s, {many['gb']:.2f} GB")
    with tempfile.TemporaryDirectory() as folder:
        cpu = wide_table(Path(folder), arguments.columns)
    print(f"features pipeline, {ROWS:,} rows x {arguments.columns:,} columns: {cpu:.1f} CPU-s")
    figures = {"wide_cpu": cpu, "wide_columns": arguments.columns, "training_cpu": many["cpu"], "wide_gb": many["gb"]}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
