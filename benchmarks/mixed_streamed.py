"""A random effect of millions of entities, streamed: an intercept and two slopes of each, from Parquet to a folder.

Rows of known effects are generated in no order, as the training set of a run has them. Measured are, in processor
seconds and each in a new process: the whole way that ``kedro run`` goes (read, divide, pack, sweep, save); the same
from a warm start; its stages; and one fused pass over the same rows that only evaluates the log likelihood.

    python benchmarks/mixed_streamed.py                                  # a million rows
    python benchmarks/mixed_streamed.py --rows 1e5 1e6 1e7 1e8           # how cost grows; 100 million need 9 GB of disk
    python benchmarks/mixed_streamed.py --rows 1e8 --names number        # entities with whole numbers as keys

Prints a table; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.hardware import use
from proml_kedro.models.columns import ParquetRows
from proml_kedro.models.component import Examples, FitContext, Input, LazyColumns
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.streamed.fit import divide, pack_all
from proml_kedro.models.mixed.streamed.kernels.compile import kernels_of
from proml_kedro.models.mixed.streamed.kernels.lanes import exponential
from proml_kedro.models.mixed.streamed.problem import StandardisedProblem, StreamedProblem
from proml_kedro.models.mixed.streamed.progress import Progress, SweepSettings
from proml_kedro.models.mixed.streamed.row_format import LOGISTIC
from proml_kedro.models.mixed.streamed.storage.blocks import PackedPart
from proml_kedro.models.mixed.streamed.sweeps import Sweeps
from proml_kedro.spec.hardware import HardwareSpec

ROWS_AN_ENTITY = 10
TRUTH = np.array([[1.0, 0.2, 0.0], [0.2, 0.3, 0.0], [0.0, 0.0, 0.2]])
ENTITY, OFFSET, SLOPES = "member_id", "offer.score", ("offer.distance", "offer.salary")
INPUTS = (Input(ENTITY, "str"), Input(OFFSET, "float"), *(Input(name, "float") for name in SLOPES))
FEATURES = ["intercept", *SLOPES]
SPEC = MixedSpec.model_validate(
    {
        "kind": "mixed",
        "inputs": [one.name for one in INPUTS],
        "offset": OFFSET,
        "fixed": list(SLOPES),
        "random_effects": [{"entity": ENTITY, "features": FEATURES}],
        "engine": "streamed",
        "refit": False,
    }
)
CHUNK = 122_880


def generate(file: Path, rows: int, names: str, seed: int = 0) -> None:
    """A training set whose members have 1 to 255 rows, 10 in the mean, shuffled."""
    generator = np.random.default_rng(seed)
    entities = rows // ROWS_AN_ENTITY
    counts = generator.poisson(generator.gamma(2.0, ROWS_AN_ENTITY / 2, entities)).clip(1, 255)
    members = generator.permutation(np.repeat(np.arange(entities, dtype=np.int32), counts))
    effects = generator.standard_normal((entities, 3), np.float32) @ np.linalg.cholesky(TRUTH).T.astype(np.float32)
    key = pa.int64() if names == "number" else pa.string()
    schema = pa.schema([("split", pa.string()), (ENTITY, key), *((one.name, pa.float32()) for one in INPUTS[1:]),
                        ("label", pa.float32())])  # fmt: skip
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for first in range(0, len(members), CHUNK):
            member = members[first : first + CHUNK]
            z = generator.standard_normal((len(member), 2), np.float32)
            offset = generator.standard_normal(len(member), np.float32) * 0.7 - 0.8
            margin = offset + effects[member, 0] + (z * effects[member, 1:]).sum(1) + 0.4 * z[:, 0]
            label = (generator.random(len(member), np.float32) < 1 / (1 + np.exp(-margin))).astype(np.float32)
            keys = pa.array(member.astype(np.int64))
            keys = keys if names == "number" else pa.array(np.char.mod("m%08d", member))
            split = pa.DictionaryArray.from_arrays(np.zeros(len(member), np.int8), ["train"]).cast(pa.string())
            writer.write_batch(pa.record_batch([split, keys, offset, z[:, 0], z[:, 1], label], schema=schema))


def examples_of(file: Path) -> Examples:
    """As a run reads them: the label now, the rest when it is needed."""
    source = ParquetRows(file, "train")
    label = source.read([Input("label", "float")])["label"].astype(np.float32, copy=False)
    return Examples(LazyColumns([one.name for one in INPUTS], lambda: source.read(INPUTS)), label, source=source)


def whole_way(file: Path, folder: Path, threads: int, previous: Mixed | None = None) -> dict[str, Any]:
    """What a run does with this component: fit and save."""
    component = Mixed(SPEC, INPUTS)
    hardware = HardwareSpec(threads=threads)
    with use(hardware):
        examples = examples_of(file)
        nothing = Examples({one.name: np.zeros(0) for one in INPUTS}, np.zeros(0, np.float32))
        component.fit(examples, nothing, FitContext(hardware, 0, previous=previous))
    if previous is None:
        (folder / "saved").mkdir()
        component.save(folder / "saved")
    facts = component.summary()
    assert facts["converged"]
    return {"entities": facts["entities"], "sweeps": facts["iterations"], "passes": facts["passes"]}


def warm_start(file: Path, folder: Path, threads: int) -> dict[str, Any]:
    """The same once more, from what was saved."""
    return whole_way(file, folder, threads, Mixed.load(SPEC, INPUTS, folder / "saved"))


def stages(file: Path, folder: Path, threads: int) -> dict[str, Any]:
    """The same in its parts."""
    model, seconds = StreamedProblem([ENTITY], FEATURES, SLOPES, OFFSET), {}

    def timed(name: str, start: float) -> float:
        seconds[name] = time.process_time() - start
        return time.process_time()

    hardware = HardwareSpec(threads=threads)
    with use(hardware), ThreadPoolExecutor(threads) as pool:
        start = time.process_time()
        examples = [examples_of(file)]
        rows = divide(model, examples, folder / "fit")
        start = timed("divide_cpu", start)
        measured = StandardisedProblem(model, rows)
        parts = pack_all(measured, folder / "fit", pool)
        start = timed("pack_cpu", start)
        progress, covariance = Progress(measured.first_mean([]).tolist(), []), Covariance(0.2 * np.eye(3), True, False)
        sweeps = Sweeps(parts, SweepSettings(model.penalties()), pool)
        sweeps.fit(covariance, progress, folder / "progress.json")
        start = timed("sweep_cpu", start)
        passes = []
        for _ in range(3):
            before = time.process_time()
            total = sum(pool.map(lambda part: log_likelihood_of(part, np.array(progress.mean, np.float32)), parts))
            passes.append(time.process_time() - before)
    found = {"log_likelihood": total, "fixed": progress.mean, "covariance": covariance.value.round(4).tolist()}
    return {**seconds, "likelihood_pass_cpu": sorted(passes)[1], **found}


def log_likelihood_of(folder: Path, mean: np.ndarray) -> float:
    """Of the labels given the effects, of one part."""
    part = PackedPart.open(folder)
    padding = part.rows.shape[0] * part.rows.shape[2] - int(part.counts.sum())
    return float(log_likelihood(part.rows, part.starts, part.state[:, :3], mean) + padding * math.log(2))


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def log_likelihood(rows, starts, state, mean):
    """The sum of -log(1 + exp(-t_i - s_i'c)): the logarithm by its exponent's bits and a polynomial."""
    c, sums, total = np.zeros((3, 16), np.float32), np.zeros(16, np.float32), 0.0
    for block in range(starts.size - 1):
        for a in range(3):
            c[a] = mean[a] + state[block, a]
        sums[:] = 0
        for i in range(starts[block], starts[block + 1]):
            for lane in range(16):
                m = rows[i, 0, lane]
                for a in range(3):
                    m += rows[i, 1 + a, lane] * c[a, lane]
                value = np.float32(np.float32(1.0) + exponential(-m))
                bits = np.float32(value).view(np.int32)
                power = np.float32((bits >> np.int32(23)) - np.int32(127))
                x = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F800000)).view(np.float32) - np.float32(1.0)
                p = np.float32(0.0308957) * x - np.float32(0.1309926)
                p = p * x + np.float32(0.2733816)
                p = p * x - np.float32(0.4796469)
                p = p * x + np.float32(0.9994757)
                sums[lane] -= power * np.float32(0.6931472) + p * x
        for lane in range(16):
            total += sums[lane]
    return total


def lookups(folder: Path) -> dict[str, float]:
    """Load what was saved, and score one row, and a thousand, of entities in no order."""
    start = time.perf_counter()
    component = Mixed.load(SPEC, INPUTS, folder / "saved")
    figures = {"load_ms": 1000 * (time.perf_counter() - start)}
    names = np.load(folder / "saved" / "effect_0.levels.npy", mmap_mode="r")
    generator = np.random.default_rng(1)
    for count in (1, 1000):
        times = []
        for _ in range(300):
            columns = {one.name: generator.standard_normal(count).astype(np.float32) for one in INPUTS[1:]}
            wanted = names[generator.integers(0, len(names), count)]
            columns[ENTITY] = np.array([one.decode() for one in wanted], object)
            start = time.perf_counter()
            component.score(columns)
            times.append(time.perf_counter() - start)
        figures[f"score_{count}_us"] = 1e6 * sorted(times)[len(times) // 2]
    return figures


def in_new_process(what: str, *arguments: object) -> dict[str, Any]:
    """The figures of one measurement, with the process's CPU seconds and peak memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, *map(str, arguments)], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(what: str, file: Path, folder: Path, threads: int) -> None:
    """One measurement, in this process; prints the figures as JSON."""
    kernels_of(3, LOGISTIC)
    start, wall = time.process_time(), time.perf_counter()
    kinds = {"way": whole_way, "warm": warm_start, "stages": stages, "lookups": lambda _, where, __: lookups(where)}
    found = kinds[what](file, folder, threads)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found |= {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall, "peak_mb": usage.ru_maxrss / 1024}
    print(json.dumps(found))


def compare(rows: int, names: str, threads: int, folder: Path) -> dict[str, Any]:
    """All measurements for one number of rows."""
    file = folder / "training_set.parquet"
    generate(file, rows, names)
    figures = {"rows": pq.read_metadata(file).num_rows, "file_mb": file.stat().st_size / 2**20}
    way = in_new_process("way", file, folder, threads)
    figures |= {f"way_{name}" if name in ("cpu", "wall", "peak_mb") else name: one for name, one in way.items()}
    figures["saved_mb"] = sum(one.stat().st_size for one in (folder / "saved").iterdir()) / 2**20
    figures |= {k: v for k, v in in_new_process("lookups", file, folder, threads).items() if k.endswith(("us", "ms"))}
    figures |= {f"warm_{name}": one for name, one in in_new_process("warm", file, folder, threads).items()}
    parts = in_new_process("stages", file, folder, threads)
    figures |= {name: one for name, one in parts.items() if name not in ("cpu", "wall")}
    figures["fit_cpu"] = parts["pack_cpu"] + parts["sweep_cpu"]
    figures["sweep_over_likelihood"] = parts["sweep_cpu"] / parts["likelihood_pass_cpu"]
    figures["way_over_fit"] = figures["way_cpu"] / figures["fit_cpu"]
    figures["us_an_entity"] = 1e6 * figures["fit_cpu"] / figures["entities"]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6])
    parser.add_argument("--names", choices=["text", "number"], default="text")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put files; a temporary one when left out")
    parser.add_argument("--measure", nargs=4, metavar=("WHAT", "FILE", "FOLDER", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, file, folder, threads = options.measure
        measure(what, Path(file), Path(folder), int(threads))
        return
    compare_small(options.threads)
    results = []
    heads = {"rows": 12, "entities": 10, "way": 7, "divide": 7, "pack": 6, "sweep": 6, "1 pass": 7, "warm": 7, "MB": 6}
    print(" ".join(f"{name:>{width}}" for name, width in heads.items()))
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            one = compare(int(rows), options.names, options.threads, Path(folder))
        results.append(one)
        cpu = [one[f"{name}_cpu"] for name in ("way", "divide", "pack", "sweep", "likelihood_pass", "warm")]
        text = "{:>7.2f} {:>7.2f} {:>6.2f} {:>6.2f} {:>7.3f} {:>7.2f}".format(*cpu)
        print(f"{one['rows']:>12,} {one['entities']:>10,} {text} {one['way_peak_mb']:>6.0f}", flush=True)
    print(json.dumps(results[-1] | {"cpu_by_rows": {str(one["rows"]): round(one["way_cpu"], 2) for one in results}}))


def compare_small(threads: int) -> None:
    """A first time, which compiles."""
    with tempfile.TemporaryDirectory() as folder:
        compare(10_000, "text", threads, Path(folder))


if __name__ == "__main__":
    main()
