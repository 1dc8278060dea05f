"""What a producer in front of a streamed mixed model costs: peak memory and processor time, with it and without.

A training set of members with a random effect on how alike two vectors are. Once the similarity is a stored number,
once a producer computes it from the vectors batch by batch while the mixed model streams the rows. Each is fitted in a
process of its own; the peak is that of its resident memory.

    python benchmarks/graph.py                  # five million rows; about a gigabyte of disk
    python benchmarks/graph.py --rows 2e5

Prints both; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from proml_kedro.column_functions.vectors import cosine_similarity
from proml_kedro.models.columns import ParquetRows, to_arrow
from proml_kedro.models.component import Examples, FitContext, Input, LazyColumns
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import HardwareSpec, ModelSpec

ROWS_AN_ENTITY = 20
SIZE = 16
CHUNK = 122_880
VECTORS = ("member.taste", "job.title")
DTYPES = {**dict.fromkeys(VECTORS, f"vector[{SIZE}]"), "stored.match": "float", "member_id": "str"}


def model(match: str) -> ModelSpec:
    """The model whose mixed component reads the similarity there."""
    mixed = {
        "kind": "mixed",
        "inputs": ["member_id", match],
        "fixed": [match],
        "random_effects": [{"entity": "member_id", "features": ["intercept", match]}],
        "engine": "streamed",
        "refit": False,
    }
    producer = {"match": {"kind": "cosine_similarity", "of": list(VECTORS)}} if match == "match.value" else {}
    return ModelSpec.model_validate({"name": "benchmark", "components": {**producer, "final": mixed}, "score": "final"})


MODELS = {"without": "stored.match", "with": "match.value"}


def generate(file: Path, rows: int) -> None:
    """A training set whose members, in no order, have an effect of their own, and one on the similarity."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    effects = generator.standard_normal((max(1, rows // ROWS_AN_ENTITY), 2)) * [0.7, 0.5]
    writer = None
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        member = generator.integers(0, len(effects), count)
        vectors = [generator.standard_normal((count, SIZE), np.float32) for _ in VECTORS]
        match = cosine_similarity(*vectors)
        margin = effects[member, 0] + (1 + effects[member, 1]) * match * 4
        columns = {
            "split": pa.array(np.full(count, "train")),
            "member_id": pa.array(np.char.mod("m%08d", member)),
            **{name: to_arrow(values) for name, values in zip(VECTORS, vectors, strict=True)},
            "stored.match": pa.array(match),
            "label": pa.array((generator.random(count) < 1 / (1 + np.exp(-margin))).astype(np.float32)),
        }
        batch = pa.record_batch(columns)
        writer = writer or pq.ParquetWriter(file, batch.schema)
        writer.write_batch(batch)
    assert writer is not None
    writer.close()


def fit(file: Path, which: str, threads: int) -> dict[str, float]:
    """Fit one of the models, as a run does: the labels are read now, all else when it is needed."""
    graph = ModelGraph(model(MODELS[which]), DTYPES)
    source = ParquetRows(file, "train")
    label = source.read([Input("label", "float")])["label"]
    columns = LazyColumns([one.name for one in graph.inputs], lambda: source.read(graph.inputs))
    nothing = Examples({one.name: np.zeros(0) for one in graph.inputs}, np.zeros(0, np.float32))
    start = time.process_time()
    context = FitContext(HardwareSpec(threads=threads), 0)
    graph.fit(Examples(columns, label, source=source), nothing, context)
    return {"peak_mb": peak(), "cpu_s": time.process_time() - start, "deviation": deviation(graph)}


def deviation(graph: ModelGraph) -> float:
    """Standard deviation of the members' effects, which both models find alike."""
    return float(graph.components["final"].population()[0].deviation)  # type: ignore[attr-defined]


def peak() -> float:
    """Most resident memory that this process has had, in MB; unlike ``getrusage``, not that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Generate, fit both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=5e6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=[*MODELS, "generate"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if given.only == "generate":
        generate(given.file, int(given.rows))
    elif given.only:
        print(json.dumps(fit(given.file, given.only, given.threads)))
    else:
        _compare(int(given.rows), given.threads)


def _compare(rows: int, threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "training_set.parquet")
        _alone("generate", file, min(rows, 20_000), threads)
        _alone("without", file, rows, threads)  # compiles what is not compiled yet, which needs memory of its own
        _alone("generate", file, rows, threads)
        found = {which: json.loads(_alone(which, file, rows, threads)) for which in MODELS}
    for which, figures in found.items():
        print(f"{which:8} producer: peak {figures['peak_mb']:.0f} MB, {figures['cpu_s']:.1f} CPU-s")
    ratio = found["with"]["peak_mb"] / found["without"]["peak_mb"]
    print(json.dumps({"rows": rows, "memory_ratio": round(ratio, 3), **found}))


def _alone(which: str, file: Path, rows: int, threads: int) -> str:
    words = [sys.executable, __file__, "--only", which, "--file", str(file), "--rows", str(rows)]
    words += ["--threads", str(threads)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
