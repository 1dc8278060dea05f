"""Where `feast monitor run` keeps what it measures: Parquet files beside the registry, as Feast itself writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.infra.offline_stores.offline_store import OfflineStore

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig


class MonitoredStore(OfflineStore):
    """Store whose measurements lie in Parquet files. Feast computes them, from what the store reads."""

    @staticmethod
    def ensure_monitoring_tables(config: RepoConfig) -> None:
        """Make empty files where there are none."""
        store, own = _parquet_store(config)
        store.ensure_monitoring_tables(own)

    @staticmethod
    def save_monitoring_metrics(config: RepoConfig, metric_type: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Add measurements, or replace those of the same key."""
        store, own = _parquet_store(config)
        store.save_monitoring_metrics(own, metric_type, metrics)

    @staticmethod
    def query_monitoring_metrics(
        config: RepoConfig,
        project: str,
        metric_type: str,
        filters: Mapping[str, Any] | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> list[dict[str, Any]]:
        """Return measurements; see Feast's base class."""
        store, own = _parquet_store(config)
        found: list[dict[str, Any]] = store.query_monitoring_metrics(
            own, project, metric_type, filters, start_date, end_date
        )
        return found

    @staticmethod
    def clear_monitoring_baseline(
        config: RepoConfig,
        project: str,
        feature_view_name: str | None = None,
        feature_name: str | None = None,
        data_source_type: str | None = None,
    ) -> None:
        """Let measurements be no baseline any more; see Feast's base class."""
        store, own = _parquet_store(config)
        store.clear_monitoring_baseline(own, project, feature_view_name, feature_name, data_source_type)


def _parquet_store(config: RepoConfig) -> tuple[Any, RepoConfig]:
    """Return Feast's store of Parquet files, and its configuration: files lie in the folder of the registry."""
    from feast.infra.offline_stores.dask import DaskOfflineStore
    from feast.repo_config import RepoConfig as Config

    place = (Path(str(config.repo_path or ".")) / str(config.registry.path)).resolve().parent
    own = Config(
        project=config.project,
        provider="local",
        repo_path=place,
        registry=str(place / "registry.db"),
        offline_store={"type": "dask"},
        entity_key_serialization_version=3,
    )
    return DaskOfflineStore, own
