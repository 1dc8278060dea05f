"""A point-in-time join behind the interface of Feast's retrieval jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView

from proml_kedro.features.training.join import PointInTimeJoin

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast.saved_dataset import SavedDatasetStorage


class AsofRetrievalJob(RetrievalJob):
    """A join that runs when its result is asked for.

    Args:
        join: The join. Feast's on-demand feature views are computed from its result, but not by its ``write_parquet``.
        full_feature_names: Whether features carry their view's name.
        on_demand_feature_views: What Feast computes from the result.
        metadata: What was asked for.
    """

    def __init__(
        self,
        join: PointInTimeJoin,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self.join = join
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata

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
        """Return the query."""
        return self.join.sql

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result to a Parquet file for Feast's saved datasets."""
        if not isinstance(storage, SavedDatasetFileStorage):
            raise ValueError(f"this store writes Parquet files, not to a {type(storage).__name__}")
        path = Path(storage.file_options.uri)
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        self.join.write_parquet(path)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.join.to_arrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame
