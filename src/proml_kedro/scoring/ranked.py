"""Places of the rows of a scored table, once all of them have scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from proml_kedro.bundle import Bundle
from proml_kedro.bundle.places import places_of
from proml_kedro.models.columns import to_arrow
from proml_kedro.models.component import Array
from proml_kedro.spec.rank import RankSpec
from proml_kedro.spec.training_set import ORDER, RANK, SCORE

if TYPE_CHECKING:
    import pyarrow as pa

WITHIN = "__within"
"""In parts: the group of each row, as text. No column of the file of scores."""

_COUNTED = "__counted."


def counted_columns(bundle: Bundle, columns: Mapping[str, Array]) -> dict[str, Any]:
    """Return what ``rank.at_most`` counts, as columns of Arrow that go with the scores until places are known."""
    return {f"{_COUNTED}{name}": to_arrow(values) for name, values in bundle.attributes(columns).items()}


def nothing_counted(rank: RankSpec, bundle: Bundle) -> dict[str, Any]:
    """Return the columns of :func:`counted_columns` without a row."""
    empty = {one.name: np.empty((0,), object if one.is_categorical else np.float64) for one in bundle.graph.inputs}
    return {f"{_COUNTED}{name}": to_arrow(empty[name]) for name in rank.at_most}


def place_rows(rank: RankSpec, parts: Sequence[Path]) -> npt.NDArray[np.int64]:
    """Place the rows of all parts, which need about 100 bytes of memory each meanwhile; 0 for one that is not shown.

    Args:
        rank: The order.
        parts: Parquet files with scores.
    """
    import pyarrow.parquet as pq

    names = [WITHIN, *(f"{_COUNTED}{name}" for name in rank.at_most)]
    score = ORDER if ORDER in pq.read_schema(parts[0]).names else SCORE
    table = pq.ParquetDataset(list(parts)).read([*names, score])
    group, *counted = (table[name].to_numpy() for name in names)
    return places_of(rank, group, table[score].to_numpy(), dict(zip(rank.at_most, counted, strict=True)))


def with_places(table: pa.Table, places: npt.NDArray[np.int64]) -> pa.Table:
    """Return a part as it is in the file of scores: ``rank``, null for a row that is not shown, for what it is made of.

    Args:
        table: The part.
        places: Of its rows.
    """
    import pyarrow as pa

    hidden = [name for name in table.column_names if name == WITHIN or name.startswith(_COUNTED)]
    return table.drop_columns(hidden).append_column(RANK, pa.array(places, pa.int64(), mask=places == 0))
