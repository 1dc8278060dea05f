"""Labels reach components, metrics and files of scores to the last bit, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.scores import write_scores
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.models.component import Input
from proml_kedro.models.examples import read_examples
from proml_kedro.results import Scores
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SPLITS, SplitName
from shop import HARDWARE

FEATURES = FeaturesSpec.model_validate({"row": {"source": "request", "features": {"x": {"dtype": "float"}}}})


def build(folder: Path, values: pa.Array, task: str) -> tuple[ProblemSpec, Path]:
    rows = len(values)
    table = pa.table({"x": np.arange(rows) * 1.0, "y": values, "part": [SPLITS[at % 3] for at in range(rows)]})
    pq.write_table(table, folder / "rows.parquet")
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"rows": {"source": "rows.parquet"}},
            "examples": {"table": "rows"},
            "label": {"expression": "y", "task": task},
            "split": {"by": "column", "column": "part"},
        }
    )
    for name in ("tables", "out"):
        (folder / name).mkdir()
    read_tables(problem, None, folder, HARDWARE, folder / "tables")
    build_training_set(problem, FEATURES, {"row.x": "float"}, folder / "tables", None, HARDWARE, folder / "out")
    return problem, folder / "out" / "training_set.parquet"


@pytest.mark.parametrize(
    ("values", "type_", "task"),
    [
        ([0.1, 1 / 3, 16777217.0, 1e-300, 1.7e9 + 0.1, -0.1, 2.0**53, 5e29], pa.float64(), "regression"),
        ([16777217, 2**53 - 1, 2**53, 3, 2**40 + 1, -5, 2**60, 7], pa.int64(), "regression"),
        ([16777217, 2**31 + 1, 0, 3, 2**40 + 1, 5, 6, 7], pa.uint64(), "count"),
    ],
    ids=["fractions", "whole", "counts"],
)
def test_labels_are_exact_from_the_table_to_the_scores(
    tmp_path: Path, values: list[Any], type_: pa.DataType, task: str
) -> None:
    values = [*values, values[0]]
    problem, file = build(tmp_path, pa.array(values, type_), task)
    parts: tuple[SplitName, ...] = SPLITS
    scores = {}
    for at, part in enumerate(parts):
        examples = read_examples(file, part, [Input("row.x", "float")], problem, "float32")
        assert examples.label.dtype == np.float64
        assert examples.label.tolist() == values[at::3]
        exact = Predictions(examples.label, examples.label - 0.25).measure(["mae"])["mae"]
        assert exact == float(np.mean([abs(one - (one - 0.25)) for one in map(float, values[at::3])]))
        scores[part] = {"score": examples.label}
    write_scores(tmp_path, file, ["example_id", "split", "label"], scores)
    table = Scores.read(tmp_path).table.sort_by("example_id")
    assert table["label"].to_pylist() == values
    assert table["score"].to_pylist() == values


@pytest.mark.parametrize("far", [2**53 + 1, -(2**53) - 1, 1_700_000_000_123_456_789])
def test_whole_numbers_that_float64_rounds_are_refused(tmp_path: Path, far: int) -> None:
    with pytest.raises(UserError) as caught:
        build(tmp_path, pa.array([far, 1, 2, 3, 4, 5], pa.int64()), "regression")
    (mistake,) = caught.value.mistakes
    assert mistake.key == "problem.label.expression"
    assert "is a whole number beyond 2^53 for 1 of 6 examples, which float64 rounds; take an origin" in mistake.message
