"""A problem of one table, for tests of how a source is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.features.tables.read import read_tables
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE


def problem_of(key: str = "id", **table: Any) -> ProblemSpec:
    """The problem: its table ``t`` is what is given, and its examples are a query over that."""
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": table, "ex": {"query": f"SELECT {key} AS id, TIMESTAMPTZ '2024-01-01' AS now FROM t"}},
            "examples": {"table": "ex", "entities": ["id"], "timestamp": "now"},
            "label": {"expression": "true"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )


def read(folder: Path, problem: ProblemSpec) -> pa.Table:
    """Read the table into ``out`` of a folder, where its source is."""
    (folder / "out").mkdir(exist_ok=True)
    read_tables(problem, None, folder, HARDWARE, folder / "out")
    return pq.read_table(folder / "out" / "t.parquet")
