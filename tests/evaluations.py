"""Evaluations as runs leave them, of models that are as good as is wanted, for tests that compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.results import Metrics, Scores

DAYS, EACH = 40, 50
ROWS = DAYS * EACH


def make_rows(first: int = 0) -> dict[str, Any]:
    """Examples of a test period, with what is behind their labels under ``truth``."""
    generator = np.random.default_rng(7)
    truth = generator.normal(size=ROWS)
    return {
        "example_id": np.arange(first, first + ROWS),
        "user": [f"u{one % 9}" for one in range(ROWS)],
        "day": [f"2024-05-{1 + one // EACH:02d}" for one in range(ROWS)],
        "split": ["test"] * ROWS,
        "label": (generator.random(ROWS) < 1 / (1 + np.exp(-truth))).astype(float),
        "group": np.arange(ROWS) // 10,
        "truth": truth,
    }


def write_evaluation(folder: Path, noise: float, seed: int = 1, task: str = "binary", **changes: Any) -> Path:
    """Write what an evaluation leaves: scores with so much noise, and the facts beside them."""
    rows = {**make_rows(), **changes}
    known = rows.pop("truth")
    score = 1 / (1 + np.exp(-known - noise * np.random.default_rng(seed).normal(size=len(known))))
    order = np.random.default_rng(seed + 1).permutation(len(known))  # no matter in which order
    table = pa.table({**rows, "score": score, "order": score}).take(pa.array(order))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / Scores.FILE)
    content = {
        "rows": len(known),
        "task": task,
        "candidate": {"auc": 0.7, "logloss": 0.5, "ndcg@5": 0.5} if task == "binary" else {"rmse": 0.5},
        "cluster_by": "day",
        "clusters": DAYS,
        "ranking": {"within": "group", "groups": 1, "without_positive": 0, "drawn_by": "day"},
    }
    Metrics.of(content).write(folder)
    return folder
