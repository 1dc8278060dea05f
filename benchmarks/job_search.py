"""What it costs to generate a search for jobs, and to judge the order of its lists.

    python benchmarks/job_search.py [LISTS…]

Each size is generated in a process of its own, for its memory. Six ranking metrics are computed over 40,000 lists of
ten, and one of them by a plain loop over the lists. CPU seconds throughout. Prints tables, and last one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from proml_kedro.evaluation.rankings import Rankings

SIZES = (10_000, 100_000, 1_000_000)
METRICS = ("ndcg@10", "mrr", "precision@1", "recall@5", "map@10", "group_auc")

GENERATE = """
import resource, sys
from pathlib import Path
from proml_kedro.generators import generate
from proml_kedro.spec.generator import GeneratorSpec
lists, folder = int(sys.argv[1]), Path(sys.argv[2])
people = {"members": max(lists // 10, 10), "jobs": max(lists // 20, 300)}
generate(GeneratorSpec(kind="job_search", lists=lists, **people), folder)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def generation(sizes: tuple[int, ...]) -> dict[str, float]:
    """CPU seconds and peak memory for each size."""
    figures: dict[str, float] = {}
    print(f"{'rows':>12}{'CPU s':>10}{'rows / CPU s':>16}{'peak MB':>10}")
    for lists in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", GENERATE, str(lists), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows = pq.read_metadata(Path(folder) / "impressions.parquet").num_rows
        seconds, megabytes = map(float, done.stdout.split())
        print(f"{rows:>12,}{seconds:>10.1f}{rows / seconds:>16,.0f}{megabytes:>10.0f}")
        figures |= {f"generate_cpu_s_{lists}_lists": seconds, f"generate_peak_mb_{lists}_lists": megabytes}
    return figures


def loop(label: np.ndarray, score: np.ndarray, group: np.ndarray) -> float:
    """NDCG at 10 as one would write it: group by group."""
    found = []
    for one in range(group.max() + 1):
        rows = np.arange(one * 10, one * 10 + 10)  # it is spared the search for them
        order = rows[np.argsort(-score[rows], kind="stable")][:10]
        gain = (label[order] / np.log2(np.arange(2, len(order) + 2))).sum()
        best = np.sort(label[rows])[::-1][:10]
        ideal = (best / np.log2(np.arange(2, len(best) + 2))).sum()
        if ideal:
            found.append(gain / ideal)
    return float(np.mean(found))


def ranking(lists: int = 40_000) -> dict[str, float]:
    """All metrics of 400,000 rows, and a loop that computes one of them."""
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(lists), 10)
    label, score = (generator.random(len(group)) < 0.1).astype(float), generator.random(len(group))
    start = time.process_time()
    ranked = Rankings(label, score, group)
    ours = ranked.measure(METRICS)
    once = time.process_time() - start
    start = time.process_time()
    ranked.measure(METRICS, generator.random(lists))
    again = time.process_time() - start
    start = time.process_time()
    theirs = loop(label, score, group)
    plain = time.process_time() - start
    assert abs(ours["ndcg@10"] - theirs) < 1e-9
    print(
        f"\n{len(group):,} rows: six metrics {once:.3f} CPU s, a resample {again:.4f}, one metric in a loop {plain:.2f}"
    )
    return {"rank_cpu_s": once, "rank_resample_cpu_s": again, "rank_loop_cpu_s": plain, "rank_speedup": plain / once}


def main() -> None:
    """Measure and print."""
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    figures = {**generation(sizes), **ranking()}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
