"""How new the values in a feature table are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proml_kedro.spec.training_set import EVENT_TIMESTAMP

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many of a timestamp's units are a second."""


@dataclass(frozen=True)
class Freshness:
    """Size and age of a feature table, by its metadata.

    Attributes:
        rows: How many rows it has.
        newest: The newest ``event_timestamp``, in UTC; None when it has no rows.
    """

    rows: int
    newest: datetime | None


def freshness(table: Path) -> Freshness | None:
    """Return rows and newest moment of a feature table; None when there is no such file. Only its metadata are read.

    Args:
        table: The Parquet file.
    """
    if not table.is_file():
        return None
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(table)
    position = metadata.schema.names.index(EVENT_TIMESTAMP)
    statistics = [metadata.row_group(one).column(position).statistics for one in range(metadata.num_row_groups)]
    # The number that is stored: to make a moment of it, Arrow would import pandas, which takes a second.
    newest = max((one.max_raw for one in statistics if one is not None and one.has_min_max), default=None)
    if newest is None:
        return Freshness(metadata.num_rows, None)
    ticks = _TICKS[metadata.schema.to_arrow_schema().field(position).type.unit]
    return Freshness(metadata.num_rows, _EPOCH + timedelta(microseconds=newest * 1_000_000 // ticks))
