"""What it costs to judge two models by five metrics of 100,000 rows in 90 clusters, beside the metrics alone.

    python benchmarks/significance.py

The judgement holds intervals and p-values clustered by day, and Holm's over all. The floor is scikit-learn's own AUC,
logloss and Brier score of both models, once, without intervals and without a ranking metric. Both in turns; prints the
medians, and last one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from equal_models import RANKING, SPEC, rows_of_equal_models
from proml_kedro.evaluation import compare

ROUNDS = 7


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Measure and print."""
    rows = rows_of_equal_models(np.random.default_rng(0), 90, 0.1, lists=111, length=10)
    models = [one for one in (rows.candidate, rows.baseline) if one is not None]

    def floor() -> None:
        for one in models:
            for metric in (roc_auc_score, log_loss, brier_score_loss):
                metric(rows.label, one.scores)

    def ours() -> None:
        compare.evaluate(rows, SPEC, RANKING)

    floor()
    ours()
    times = [(_seconds(floor), _seconds(ours)) for _ in range(ROUNDS)]
    base, cost = (median(one) for one in zip(*times, strict=True))
    print(f"{len(rows.label):,} rows: metrics alone {base:.3f} CPU-s, the judgement {cost:.3f}")
    print(json.dumps({"metrics_cpu_s": round(base, 4), "judged_cpu_s": round(cost, 4), "ratio": round(cost / base, 2)}))


if __name__ == "__main__":
    main()
