"""``scores.parquet``: every row that a model is chosen or judged by, with its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proml_kedro.models.columns import ParquetRows
from proml_kedro.results import Scores
from proml_kedro.spec.split import SplitName

_ROWS = 1 << 17  # of a batch


def write_scores(
    folder: Path, training_set: Path, columns: Sequence[str], scores: Mapping[SplitName, Mapping[str, Any]]
) -> None:
    """Write ``scores.parquet``, a split behind the other, each in the order of the training set.

    Args:
        folder: Where to.
        training_set: The Parquet file of the training set.
        columns: Those of it that are taken over.
        scores: Split → name of a further column → float64 of shape (n,), n rows of the split.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for split, of_split in scores.items():
            first = 0
            for batch in ParquetRows(training_set, split).record_batches(columns, _ROWS):
                here = slice(first, first + batch.num_rows)
                for name, values in of_split.items():
                    batch = batch.append_column(name, pa.array(values[here], pa.float64(), from_pandas=True))
                writer = writer or pq.ParquetWriter(folder / Scores.FILE, batch.schema, compression="zstd")
                writer.write_batch(batch)
                first = here.stop
    finally:
        if writer:
            writer.close()
