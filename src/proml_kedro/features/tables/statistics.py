"""What a Parquet file says of its own columns, without a row being read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of a column of one value a row.

    Attributes:
        nulls: How many of its cells are null; None where the file does not say.
        bounds: The least and largest values of its row groups, as far as the file says.
    """

    nulls: int | None
    bounds: frozenset[Any]


def column_statistics(file: Path) -> dict[str, ColumnStatistics]:
    """Read the statistics of a file by column; lists and structures are left out.

    Args:
        file: The file.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        metadata, names = parquet.metadata, set(parquet.schema_arrow.names)
        groups = [metadata.row_group(one) for one in range(metadata.num_row_groups)]
        found = {}
        for position in range(metadata.num_columns):
            path = metadata.schema.column(position).path
            if path in names:  # otherwise a part of a list or a structure
                parts = [one.column(position).statistics for one in groups]
                found[path] = ColumnStatistics(_nulls(parts), _bounds(parts))
    return found


def _nulls(parts: list[Any]) -> int | None:
    return sum(one.null_count for one in parts) if all(one and one.has_null_count for one in parts) else None


def _bounds(parts: list[Any]) -> frozenset[Any]:
    told = [one for one in parts if one and one.has_min_max]
    try:
        return frozenset(bound for one in told for bound in (one.min, one.max))
    except (OverflowError, ValueError):  # a moment that Python does not know, such as the year 0
        return frozenset()
