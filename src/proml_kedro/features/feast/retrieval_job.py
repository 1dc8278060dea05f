"""A point-in-time join as Feast's retrieval job: a query that runs when its result is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.session import Session, connect
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast.saved_dataset import SavedDatasetStorage

ENTITIES = "entity_rows"
"""The table that entity rows from Python are registered as."""

_BATCH_ROWS = 100_000


class AsofRetrievalJob(RetrievalJob):
    """A query that runs when its result is asked for.

    Args:
        sql: The query, in no order.
        hardware: What it may use.
        entities: The entity rows that the query reads, unless they are part of it.
        full_feature_names: Whether features carry their view's name.
        on_demand_feature_views: What Feast computes from the result.
        metadata: What was asked for.
        order: ORDER BY of the result, unless another order is asked for.
    """

    def __init__(
        self,
        sql: str,
        hardware: HardwareSpec,
        entities: pd.DataFrame | None = None,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
        order: str = "",
    ) -> None:
        self._sql = sql
        self._hardware = hardware
        self._entities = entities
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata
        self._order = order

    @property
    def full_feature_names(self) -> bool:
        """Whether features carry their view's name."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """What Feast computes from the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def to_sql(self) -> str:
        """The query."""
        return f"{self._sql}\n{self._order}"

    def write_parquet(
        self,
        path: Path,
        columns: Mapping[str, str] | None = None,
        order_by: str | None = None,
        derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    ) -> int:
        """Write the result to a Parquet file, without ever holding it in memory.

        Feast's on-demand feature views are not computed; ``derive`` is for that.

        Args:
            path: The file.
            columns: Name → SQL expression over the result's columns; all of them as they are when left out.
            order_by: A column of the result.
            derive: Adds columns to a batch of the rows that are written.

        Returns:
            The number of rows.
        """
        names = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items()) if columns else "*"
        query = f"{self._sql}\n) ORDER BY {quote(order_by)}" if order_by else f"{self.to_sql()}\n)"
        with opened(self._hardware, self._entities, path.parent) as session:
            rows = f"SELECT {names} FROM ({query}"
            if derive is not None:
                return _write_derived(session.batches(rows, _BATCH_ROWS), path, derive)
            return session.write_parquet(rows, path)

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result to a Parquet file for Feast's saved datasets."""
        if not isinstance(storage, SavedDatasetFileStorage):
            raise ValueError(f"this store writes Parquet files, not to a {type(storage).__name__}")
        path = Path(storage.file_options.uri)
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        self.write_parquet(path)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with opened(self._hardware, self._entities) as session:
            return session.arrow(self.to_sql())

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


def _write_derived(batches: Any, path: Path, derive: Callable[[pa.RecordBatch], pa.RecordBatch]) -> int:
    """Write what ``derive`` makes of each batch; the number of rows."""
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


@contextmanager
def opened(hardware: HardwareSpec, entities: pd.DataFrame | None, folder: Path | None = None) -> Iterator[Session]:
    """A database in which the entity rows, if there are any, are the table :data:`ENTITIES`.

    Args:
        hardware: What it may use.
        entities: The rows.
        folder: For what does not fit into memory; the system's place when left out.
    """
    with connect(hardware, folder) as session:
        if entities is not None:
            session.register(ENTITIES, entities)
        yield session
