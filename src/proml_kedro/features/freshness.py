"""How new the values in a feature table are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Freshness:
    """What a feature table's metadata say.

    Attributes:
        rows: How many rows it has.
        newest: The newest ``event_timestamp``; None when it has no rows.
    """

    rows: int
    newest: datetime | None


def freshness(table: Path) -> Freshness | None:
    """Rows and newest moment of a feature table; None when there is no such file. Only its metadata are read.

    Args:
        table: The Parquet file.
    """
    if not table.is_file():
        return None
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(table)
    position = metadata.schema.names.index("event_timestamp")
    statistics = [metadata.row_group(one).column(position).statistics for one in range(metadata.num_row_groups)]
    newest = [one.max for one in statistics if one is not None and one.has_min_max]
    return Freshness(metadata.num_rows, max(newest, default=None))
