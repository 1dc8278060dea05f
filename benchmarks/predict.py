"""What scoring a table costs: `kedro predict` by trees, beside reading the file and XGBoost's own prediction.

    python benchmarks/predict.py                  # 10 million rows, and memory at 1 and 4 million: minutes
    python benchmarks/predict.py --rows 1e6       # fewer

The table: 12 numbers, 3 whole numbers and a category, of which some are missing, in Parquet; the model: 200 trees of
depth 6. ``predict_ratio`` is the CPU of scoring into a file, imports and loading of the bundle excepted, to that of
reading the columns by PyArrow plus ``Booster.inplace_predict`` on float32 arrays that are ready. ``predict_gb`` is the
peak memory of the process at that size, ``flat_gb`` what it needs more at 4 million rows than at 1 million. Prints
tables, and last one line of JSON.
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

CITIES = ["Bern", "Lima", "Oslo", "Quito"]
NUMBERS, WHOLE = [f"x{one}" for one in range(12)], ["n0", "n1", "n2"]
TRAINED, CHUNK = 20_000, 250_000
YAML = {
    "config.yaml": """\
defaults: [problem: wide, features: wide, model: trees, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, catalog: default, _self_]
config_version: 1
hardware: {threads: 1}
""",
    "problem/wide.yaml": """\
tables: {rows: {source: rows.parquet}}
examples: {table: rows}
label: {expression: y}
split: {by: random, validation: 20%, test: 20%}
""",
    "features/wide.yaml": "row:\n  source: request\n  features:\n"
    + "".join(f"    {name}: {{dtype: float}}\n" for name in NUMBERS)
    + "".join(f"    {name}: {{dtype: int}}\n" for name in WHOLE)
    + "    city: {dtype: str}\n",
    "model/trees.yaml": """\
components:
  trees:
    {kind: xgboost, inputs: ["*"], num_boost_round: 200, early_stopping_rounds: 200, refit: false,
     params: {max_depth: 6}}
score: trees
""",
}


def make_rows(rows: int, seed: int) -> pa.Table:
    """Rows of the table."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(len(NUMBERS), rows))
    n = generator.integers(0, 50, (len(WHOLE), rows))
    city = generator.integers(0, len(CITIES), rows)
    margin = x[0] + x[1] * x[2] - 0.05 * n[0] + (city == 1)
    columns = {name: pa.array(x[at], mask=generator.random(rows) < 0.03) for at, name in enumerate(NUMBERS)}
    columns |= {name: pa.array(n[at]) for at, name in enumerate(WHOLE)}
    columns["city"] = pa.array(np.array(CITIES)[city])
    return pa.table({**columns, "y": pa.array(margin + generator.logistic(size=rows) > 0)})


def write_table(file: Path, rows: int) -> None:
    """Write a table in row groups of a part of it, so that memory is no matter here."""
    with pq.ParquetWriter(file, make_rows(1, 0).schema, compression="zstd") as writer:
        for at in range(0, rows, CHUNK):
            writer.write_table(make_rows(min(CHUNK, rows - at), at + 1))


def make_bundle(folder: Path) -> Path:
    """Train on a small table, and return the bundle."""
    from proml_kedro import open_project

    for name, text in YAML.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(text)
    pq.write_table(make_rows(TRAINED, 0), folder / "rows.parquet")
    project = open_project(folder, f"data_dir={folder / 'data'}")
    return project.run(results=("bundle",))["bundle"].path


def ours(bundle: Path, file: Path, output: Path) -> dict[str, float]:
    """CPU seconds and peak memory in GB of scoring into a file, in this process."""
    from proml_kedro.bundle import Bundle
    from proml_kedro.hardware import limit_environment
    from proml_kedro.scoring.job import ScoringJob
    from proml_kedro.scoring.score import score_table
    from proml_kedro.spec.hardware import HardwareSpec
    from proml_kedro.workflow.scoring import StoredResults

    hardware = HardwareSpec(threads=1)
    limit_environment(hardware)
    Bundle.load(bundle)
    start = time.process_time()
    job = ScoringJob(bundle, str(file), output, file.parent, StoredResults(bundle), hardware)
    score_table(job, lambda line: None)
    return {"cpu": time.process_time() - start, "gb": peak_gb()}


def theirs(bundle: Path, file: Path, output: Path) -> dict[str, float]:
    """CPU seconds of reading the columns, and of XGBoost's prediction on ready arrays."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=bundle / "components" / "trees" / "model.ubj")
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    names, codes = [*NUMBERS, *WHOLE, "city"], {name: at for at, name in enumerate(sorted(CITIES))}
    reading = predicting = 0.0
    scores = []
    with pq.ParquetFile(file) as content:
        for group in range(content.num_row_groups):
            start = time.process_time()
            table = content.read_row_group(group, names)
            reading += time.process_time() - start
            columns = [table[name].to_numpy() for name in names[:-1]]
            city: Any = np.array([codes[one] for one in table["city"].to_pylist()], np.float32)
            matrix = np.column_stack([*columns, city]).astype(np.float32)
            start = time.process_time()
            scores.append(booster.inplace_predict(matrix, validate_features=False))
            predicting += time.process_time() - start
    found = pq.read_table(output)["score"].to_numpy()
    wrong = float(np.abs(found - np.concatenate(scores)).max())
    if wrong > 1e-6:
        sys.exit(f"scores differ by up to {wrong}")
    return {"reading": reading, "predicting": predicting}


def peak_gb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_process(what: str, *places: Path) -> dict[str, float]:
    """Run :func:`ours` or :func:`theirs` in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, *map(str, places)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def predict_ratio(rows: int, flat: bool = True) -> dict[str, float]:
    """CPU of scoring to that of reading and predicting, peak memory, and what four times the rows need more of it.

    Args:
        rows: Of the table.
        flat: Whether to measure memory at 1 and 4 million rows too.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, file, output = make_bundle(folder), folder / "table.parquet", folder / "scores.parquet"
        write_table(file, rows)
        own = in_process("ours", bundle, file, output)
        other = in_process("theirs", bundle, file, output)
        reference = other["reading"] + other["predicting"]
        print(f"{rows:,} rows: {own['cpu']:.1f} CPU-s, {own['gb']:.2f} GB")
        print(f"reading {other['reading']:.1f} + predicting {other['predicting']:.1f} = {reference:.1f} CPU-s")
        figures = {"predict_ratio": own["cpu"] / reference, "predict_gb": own["gb"]}
        if flat:
            peaks = []
            for size in (1_000_000, 4_000_000):
                write_table(file, size)
                peaks.append(in_process("ours", bundle, file, output)["gb"])
                print(f"{size:,} rows: peak {peaks[-1]:.2f} GB")
            figures["flat_gb"] = peaks[1] - peaks[0]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--no-flat", action="store_true", help="measure no memory at other sizes")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, *places = arguments.measure
        print(json.dumps({"ours": ours, "theirs": theirs}[what](*map(Path, places))))
        return
    figures = predict_ratio(int(arguments.rows), not arguments.no_flat)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
