"""``scores.parquet``: every row that a model is chosen or judged by, with its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proml_kedro.models.columns import ParquetRows, to_arrow
from proml_kedro.results import Scores
from proml_kedro.spec.split import SplitName
from proml_kedro.spec.training_set import LABEL

_ROWS = 1 << 17  # of a batch


def write_scores(
    folder: Path,
    training_set: Path,
    columns: Sequence[str],
    scores: Mapping[SplitName, Mapping[str, Any]],
    classes: Sequence[str] = (),
) -> None:
    """Write ``scores.parquet``, a split behind the other, each in the order of the training set.

    Args:
        folder: Where to.
        training_set: The Parquet file of the training set.
        columns: Those of it that are taken over.
        scores: Split → name of a further column → float64 of shape (n,), or text, n rows of the split.
        classes: Names of the label's classes, which stand in place of their numbers.
    """
    import pyarrow.parquet as pq

    writer = None
    try:
        for split, of_split in scores.items():
            first = 0
            for batch in ParquetRows(training_set, split).record_batches(columns, _ROWS):
                here = slice(first, first + batch.num_rows)
                if classes:
                    batch = _named(batch, classes)
                for name, values in of_split.items():
                    batch = batch.append_column(name, to_arrow(values[here]))
                writer = writer or pq.ParquetWriter(folder / Scores.FILE, batch.schema, compression="zstd")
                writer.write_batch(batch)
                first = here.stop
    finally:
        if writer:
            writer.close()


def _named(batch: Any, classes: Sequence[str]) -> Any:
    """Replace the number of each row's class by its name."""
    import pyarrow as pa

    codes = batch.column(LABEL).cast(pa.int32())
    names = pa.DictionaryArray.from_arrays(codes, pa.array(classes, pa.string())).cast(pa.string())
    return batch.set_column(batch.schema.get_field_index(LABEL), LABEL, names)
