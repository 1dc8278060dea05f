"""A point-in-time join as a lazy query, and where features of the past come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.session import Session, connect
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    import pyarrow as pa

ENTITIES = "entity_rows"
"""The table that entity rows from Python are registered as."""

_BATCH_ROWS = 100_000


class PointInTimeJoin:
    """A query that runs when its result is asked for.

    Args:
        sql: The query, in no order.
        hardware: What it may use.
        entities: The entity rows that the query reads as :data:`ENTITIES`: a table of Arrow or a data frame. None when
            the query finds them itself.
        order: ORDER BY of the result, unless another order is asked for.
    """

    def __init__(self, sql: str, hardware: HardwareSpec, entities: Any = None, order: str = "") -> None:
        self._sql = sql
        self._hardware = hardware
        self._entities = entities
        self._order = order

    @property
    def sql(self) -> str:
        """The query with its order."""
        return f"{self._sql}\n{self._order}"

    def to_arrow(self) -> pa.Table:
        """Run the query and return all rows."""
        with open_with_entities(self._hardware, self._entities) as session:
            return session.arrow(self.sql)

    def write_parquet(
        self,
        path: Path,
        columns: Mapping[str, str] | None = None,
        order_by: str | None = None,
        derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    ) -> int:
        """Write the result to a Parquet file, without ever holding it in memory.

        Args:
            path: The file.
            columns: Name → SQL expression over the result's columns. All columns as they are when omitted.
            order_by: A column of the result.
            derive: Adds columns to a batch of the rows that are written.

        Returns:
            The number of rows.
        """
        names = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items()) if columns else "*"
        query = f"{self._sql}\n) ORDER BY {quote(order_by)}" if order_by else f"{self.sql}\n)"
        with open_with_entities(self._hardware, self._entities, path.parent) as session:
            rows = f"SELECT {names} FROM ({query}"
            if derive is not None:
                return _write_derived(session.batches(rows, _BATCH_ROWS), path, derive)
            return session.write_parquet(rows, path)


class FeatureHistory(Protocol):
    """Registered features as they were known at any moment. A repository of Feast is one."""

    def key_types(self, view: str) -> dict[str, str]:
        """Return the key columns of a view, each ``int`` or ``str``.

        Raises:
            LookupError: The view is not registered.
        """

    def join(self, entities: pa.Table | str, features: Sequence[FeatureRef]) -> PointInTimeJoin:
        """Join to each entity row the features that were known at its moment.

        Args:
            entities: Rows with keys and the moment ``event_timestamp``, as a table of Arrow or as SQL.
            features: The features to join. Columns of the result carry the names of :attr:`FeatureRef.column`.

        Raises:
            LookupError: A view is not registered.
        """


@contextmanager
def open_with_entities(hardware: HardwareSpec, entities: Any, folder: Path | None = None) -> Iterator[Session]:
    """Open a session in which the entity rows, if there are any, are the table :data:`ENTITIES`.

    Args:
        hardware: What it may use.
        entities: A table of Arrow, a data frame, or None.
        folder: For what does not fit into memory. The system's temporary folder when omitted.
    """
    with connect(hardware, folder) as session:
        if entities is not None:
            session.register(ENTITIES, entities)
        yield session


def _write_derived(batches: Any, path: Path, derive: Callable[[pa.RecordBatch], pa.RecordBatch]) -> int:
    """Write what ``derive`` makes of each batch; return the number of rows."""
    import pyarrow.parquet as pq

    writer, rows = None, 0
    try:
        for batch in batches:
            derived = derive(batch)
            writer = writer or pq.ParquetWriter(path, derived.schema, compression="zstd")
            writer.write_batch(derived)
            rows += derived.num_rows
    finally:
        if writer:
            writer.close()
    return rows
