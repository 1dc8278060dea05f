"""An offline store for Feast that joins point in time by DuckDB's ASOF JOIN, within a given amount of memory.

In ``feature_store.yaml``::

    offline_store:
      type: proml_kedro.features.feast.offline_store.AsofOfflineStore
      threads: 2
      memory: 4GB
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from feast.errors import FeastEntityDFMissingColumnsError
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel

from proml_kedro.engine.duckdb import is_moment, literal, quote
from proml_kedro.features.feast.monitoring import MonitoredStore
from proml_kedro.features.feast.registry_dump import let_python_views_be_dumped
from proml_kedro.features.feast.retrieval_job import AsofRetrievalJob
from proml_kedro.features.training.join import ENTITIES, PointInTimeJoin, open_with_entities
from proml_kedro.features.training.point_in_time import ENTITY_ORDER, AsofView, join_sql, latest_sql, pull_sql
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pandas as pd
    from feast.data_source import DataSource
    from feast.feature_view import FeatureView
    from feast.repo_config import RepoConfig

let_python_views_be_dumped()  # Feast loads this module with the configuration, whichever command it is asked for


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Settings under ``offline_store``.

    Attributes:
        threads: Threads of DuckDB.
        memory: Above which DuckDB uses the disk.
    """

    type: Literal["proml_kedro.features.feast.offline_store.AsofOfflineStore"] = (
        "proml_kedro.features.feast.offline_store.AsofOfflineStore"
    )
    threads: int = 1
    memory: str = "2GB"


class AsofOfflineStore(MonitoredStore):
    """Point-in-time joins over Parquet files. No row of the entities is lost or doubled."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> AsofRetrievalJob:
        """Join the features as they were known at each entity row's moment; see Feast's base class.

        Args:
            config: The repository's configuration.
            feature_views: Views to join.
            feature_refs: The features, as ``view:feature``.
            entity_df: The entity rows, or a query in DuckDB's SQL for them. Their moment is the column
                ``event_timestamp``, otherwise their only timestamp; without a zone it is UTC.
            registry: The registry.
            project: Its project.
            full_feature_names: Whether features are called ``view__feature``.
            options: None is supported.

        Raises:
            ValueError: There are no entity rows, or their moment is unclear.
            FeastEntityDFMissingColumnsError: A key is not among the entity rows' columns.
        """
        if entity_df is None or any(options.values()):
            raise ValueError("this store joins features to entity rows: entity_df is needed, and no dates")
        join, keys = join_views(config, feature_views, feature_refs, entity_df, full_feature_names)
        return AsofRetrievalJob(
            join,
            full_feature_names,
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            RetrievalMetadata(features=feature_refs, keys=keys),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> AsofRetrievalJob:
        """Pull the last row of each key from ``start_date`` to ``end_date``; see Feast's base class."""
        created = [created_timestamp_column] if created_timestamp_column else []
        rows = pull_sql(
            _path(config, data_source),
            join_key_columns,
            [*feature_name_columns, *created],
            timestamp_field,
            start_date,
            end_date,
        )
        latest = latest_sql(rows, join_key_columns, [timestamp_field, *created])
        return AsofRetrievalJob(PointInTimeJoin(_with_dummy(latest, join_key_columns), _hardware(config)))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Pull every row from ``start_date`` to ``end_date``; see Feast's base class."""
        created = [created_timestamp_column] if created_timestamp_column else []
        columns = [*feature_name_columns, *created]
        path = _path(config, data_source)
        sql = pull_sql(path, join_key_columns, columns, timestamp_field, start_date, end_date)
        return AsofRetrievalJob(PointInTimeJoin(_with_dummy(sql, join_key_columns), _hardware(config)))


def join_views(
    config: RepoConfig,
    views: Sequence[FeatureView],
    refs: Sequence[str],
    entities: pd.DataFrame | str,
    full_names: bool,
) -> tuple[PointInTimeJoin, list[str]]:
    """Join features of given views to entity rows, whatever a registry says of them.

    Args:
        config: The repository's configuration.
        views: The views.
        refs: The features, as ``view:feature``.
        entities: The entity rows, or a query for them.
        full_names: Whether features are called ``view__feature``.

    Returns:
        The join, and the columns of the entity rows beside their moment, sorted.

    Raises:
        ValueError: The entity rows' moment is unclear.
        FeastEntityDFMissingColumnsError: A key is not among the entity rows' columns.
    """
    hardware = _hardware(config)
    frame = None if isinstance(entities, str) else entities
    relation = f"({entities}\n)" if isinstance(entities, str) else ENTITIES
    with open_with_entities(hardware, frame) as session:
        columns = session.relation(relation).schema
    asked = [_asof_view(config, view, refs, full_names) for view in views]
    missing = {key for view in asked for key in view.keys} - set(columns)
    if missing:
        raise FeastEntityDFMissingColumnsError(missing, set(columns))  # type: ignore[no-untyped-call]
    moment = _moment_column(columns)
    join = PointInTimeJoin(join_sql(relation, list(columns), moment, asked), hardware, frame, ENTITY_ORDER)
    return join, sorted(set(columns) - {moment})


def _hardware(config: RepoConfig) -> HardwareSpec:
    return HardwareSpec(threads=config.offline_store.threads, memory=config.offline_store.memory)


def _path(config: RepoConfig, source: Any) -> str:
    if not isinstance(source, FileSource):
        raise ValueError(f"this store reads Parquet files; '{source.name}' is a {type(source).__name__}")
    return FileSource.get_uri_for_file_path(config.repo_path, source.path)


def _asof_view(config: RepoConfig, view: FeatureView, feature_refs: Sequence[str], full_names: bool) -> AsofView:
    """Describe a feature view, with what is asked of it, for the join."""
    source: Any = view.batch_source
    name = str(view.projection.name_to_use())  # type: ignore[no-untyped-call]
    in_file = _names_in_file(source.field_mapping)
    keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    wanted = [ref for ref in map(FeatureRef.from_feast, feature_refs) if ref.view == name]
    return AsofView(
        path=_path(config, source),
        keys={view.projection.join_key_map.get(key, key): in_file(key) for key in keys},
        features={ref.column if full_names else ref.feature: in_file(ref.feature) for ref in wanted},
        timestamp=source.timestamp_field,
        created=source.created_timestamp_column or None,
        ttl=view.ttl or None,
    )


def _names_in_file(field_mapping: Mapping[str, str]) -> Callable[[str], str]:
    columns = {feature: column for column, feature in field_mapping.items()}
    return lambda name: columns.get(name, name)


def _moment_column(columns: Mapping[str, str]) -> str:
    moments = [name for name, type_ in columns.items() if is_moment(type_)]
    if EVENT_TIMESTAMP in moments:
        return EVENT_TIMESTAMP
    if len(moments) != 1:
        raise ValueError("which column is the entity rows' moment? Call it event_timestamp")
    return moments[0]


def _with_dummy(sql: str, keys: list[str]) -> str:
    """Add the key of Feast's own under which it stores views without a key."""
    return sql if keys else f"SELECT *, {literal(DUMMY_ENTITY_VAL)} AS {quote(DUMMY_ENTITY_ID)} FROM ({sql})"
