"""Golden rows: examples stored with their scores, to prove every copy of a model against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.bundle.integrity import IntegrityError
from proml_kedro.bundle.manifest import Manifest
from proml_kedro.models.columns import in_split, read_columns, to_arrow
from proml_kedro.models.component import Columns, Input
from proml_kedro.results.names import GOLDEN
from proml_kedro.spec.problem import Task
from proml_kedro.spec.split import TEST
from proml_kedro.spec.training_set import EXAMPLE_ID

Score = Callable[[Columns], Any]
"""Probabilities, shape (n,), or of several classes (n, classes), of n rows of inputs in float64."""


def choose_golden(training_set: Path, columns: Sequence[str], count: int) -> Any:
    """Rows of the test period at even distances in the order of the examples.

    Args:
        training_set: The Parquet file of the training set.
        columns: What to take of each row.
        count: How many rows; fewer when the test period has fewer.

    Returns:
        A ``pyarrow.Table``.

    Raises:
        ValueError: There are no test rows.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    is_test = in_split(TEST)
    ids = np.sort(pq.read_table(training_set, columns=[EXAMPLE_ID], filters=is_test)[EXAMPLE_ID].to_numpy())
    if not len(ids):
        raise ValueError("the training set has no test rows to take golden rows from")
    chosen = ids[np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)]
    return pq.read_table(training_set, columns=list(columns), filters=is_test & pc.field(EXAMPLE_ID).isin(chosen))


def write_golden(folder: Path, rows: Any, inputs: Sequence[Input], output: str, score: Score) -> None:
    """Write ``golden.parquet``: the rows as they are, and ``probability``, or ``mean``, as float64.

    Of several classes there is a list of ``probabilities`` a row.

    Args:
        folder: Where to.
        rows: A ``pyarrow.Table`` with the inputs among its columns.
        inputs: What a row consists of.
        output: What the scores are: ``probability``, ``probabilities`` or ``mean``.
        score: Gives the scores.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / GOLDEN
    pq.write_table(rows, file)
    scores = score(read_columns(file, inputs, precision="float64"))
    column = to_arrow(scores)
    if scores.ndim > 1:
        column = column.cast(pa.list_(pa.float64()))
    pq.write_table(rows.append_column(output, column), file)


def check_golden(folder: Path, inputs: Sequence[Input], manifest: Manifest, score: Score) -> None:
    """Prove that the golden rows are scored as they were when they were written.

    Args:
        folder: The bundle.
        inputs: What a row consists of.
        manifest: Of the bundle.
        score: Gives the scores.

    Raises:
        IntegrityError: A score differs by more than the tolerance.
    """
    actual = score(read_columns(folder / GOLDEN, inputs, precision="float64"))
    compare(folder, actual, read_scores(folder, manifest), manifest.serving.tolerance, manifest.problem.label.task)


def compare(folder: Path, actual: Any, expected: Any, tolerance: float, task: Task = "binary") -> None:
    """Prove that two arrays of scores, shape (n,) or (n, classes), are equal within a tolerance.

    Args:
        folder: The bundle, for errors.
        actual: The scores.
        expected: What they should be.
        tolerance: Largest difference, for scores beyond 1 as a share of them; for numbers as a share of their spread,
            since what is added to all of them, such as the seconds since 1970, is no part of what a model knows.
        task: What sort of label is predicted.

    Raises:
        IntegrityError: They are not; NaN equals nothing.
    """
    if len(actual) != len(expected):
        raise IntegrityError.of(folder, f"{len(actual)} scores for {len(expected)} golden rows")
    size = np.abs(expected)
    if task == "regression":
        size = np.minimum(size, np.maximum(np.abs(expected - np.median(expected)), np.std(expected)))
    difference = np.abs(np.asarray(actual) - expected) / np.maximum(size, 1.0)
    if difference.ndim > 1:
        difference = difference.max(axis=1)
    wrong = int((~(difference <= tolerance)).sum())
    if wrong:
        raise IntegrityError.of(
            folder,
            f"{wrong} of {len(expected)} golden rows do not score as they did when the bundle was written: largest "
            f"difference {float(np.max(difference)):.3g}, tolerated {tolerance:g}; is a library of another version?",
        )


def read_scores(folder: Path, manifest: Manifest) -> Any:
    """Read the golden rows' scores, float64 of shape (n,), or (n, classes).

    Args:
        folder: The bundle.
        manifest: Of the bundle.
    """
    output, classes = manifest.score_output, len(manifest.classes)
    dtype = f"vector[{classes}]" if classes else "float"
    return read_columns(folder / GOLDEN, [Input(output, dtype)], precision="float64")[output]
