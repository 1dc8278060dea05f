"""The repository that the declared features are registered in."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.features.feast.objects import feast_objects, source_name
from proml_kedro.features.online.open import SQLITE, store_place
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, RepoConfig

__all__ = [
    "feast_objects",
    "feature_service",
    "is_registry",
    "kept_services",
    "open_repository",
    "register",
    "repository_config",
]

logger = logging.getLogger(__name__)

FOLDER, REGISTRY = "feature_store", "registry.db"
"""Folder below the data folder, and the file in it, that hold what is registered."""

_STORE = "proml_kedro.features.feast.offline_store.AsofOfflineStore"
_ONLINE_STORE = "proml_kedro.features.feast.online_store.RowOnlineStore"


def repository_config(
    problem: ProblemSpec,
    data_dir: Path,
    hardware: HardwareSpec,
    online_store: str = SQLITE,
    registry: Path | None = None,
) -> RepoConfig:
    """Return the configuration of a problem's Feast repository.

    Args:
        problem: The problem.
        data_dir: Where results are kept.
        hardware: The machine, for point-in-time joins.
        online_store: Where values for scoring are kept, as in ``conf``.
        registry: File of the registry; the one that all problems share when it is left out.
    """
    _import_feast()
    from feast import RepoConfig

    place = data_dir.resolve() / FOLDER
    return RepoConfig(
        project=problem.name,
        provider="local",
        repo_path=place,
        registry={"registry_type": "file", "path": str(registry or place / REGISTRY), "cache_ttl_seconds": 60},
        offline_store={"type": _STORE, "threads": hardware.threads, "memory": hardware.memory},
        online_store={"type": _ONLINE_STORE, "path": store_place(online_store, problem.name, data_dir)},
        entity_key_serialization_version=3,
    )


def open_repository(
    problem: ProblemSpec,
    features: FeaturesSpec,
    data_dir: Path,
    hardware: HardwareSpec,
    online_store: str = SQLITE,
    registry: Path | None = None,
) -> FeatureStore:
    """Open the Feast repository of a problem, made on first use.

    The registry is shared by all problems, each a project of Feast; the online store is the problem's own.

    Args:
        problem: The problem.
        features: Its features.
        data_dir: Where results are kept.
        hardware: The machine, for point-in-time joins.
        online_store: Where values for scoring are kept, as in ``conf``.
        registry: As of :func:`repository_config`.
    """
    _import_feast()
    from feast import FeatureStore

    place = data_dir.resolve() / FOLDER
    (place / problem.name).mkdir(parents=True, exist_ok=True)
    return FeatureStore(
        repo_path=str(place), config=repository_config(problem, data_dir, hardware, online_store, registry)
    )


def is_registry(file: Path) -> bool:
    """Tell whether a file is a registry that Feast can read; an empty one is none."""
    _import_feast()
    from feast.protos.feast.core.Registry_pb2 import Registry
    from google.protobuf.message import DecodeError

    try:
        return len(Registry.FromString(file.read_bytes()).projects) > 0
    except DecodeError:
        return False


def _import_feast() -> None:
    """Import Feast, which from then on would show everybody's deprecation warnings, without that."""
    with warnings.catch_warnings():
        import feast  # noqa: F401


def feature_service(
    name: str, problem: ProblemSpec, objects: list[Any], columns: Mapping[str, Dtype]
) -> FeatureService | None:
    """Declare the features a model reads as a Feast service; None when all of them come with the request.

    Args:
        name: The service's name.
        problem: The problem.
        objects: What :func:`feast_objects` returned.
        columns: ``view.feature`` of what the model reads.
    """
    from feast import FeatureService
    from feast.base_feature_view import BaseFeatureView

    views = {one.name: one for one in objects if isinstance(one, BaseFeatureView)}
    selected: dict[str, list[str]] = {}
    for column in columns:
        ref = FeatureRef.parse(column)
        if ref.view in views:
            selected.setdefault(ref.view, []).append(ref.feature)
    if not selected:
        return None
    return FeatureService(
        name=name,
        features=[views[view][names] for view, names in selected.items()],
        description=f"Features for: {problem.description or problem.name}",
        tags={"problem": problem.name},
    )


def register(
    store: FeatureStore,
    problem: ProblemSpec,
    features: FeaturesSpec,
    service_name: str,
    columns: Mapping[str, Dtype],
    tables: Path,
) -> None:
    """Register the features, and those a model reads. What is no longer declared is removed.

    Args:
        store: The repository, as :func:`open_repository` opens it.
        problem: The problem.
        features: Its features.
        service_name: Name of the model's feature service.
        columns: ``view.feature`` of what the model reads.
        tables: Folder of the feature tables; where a link leads is registered.

    Raises:
        UserError: There are no feature tables yet.
    """
    objects = feast_objects(problem, features, tables)
    service = feature_service(service_name, problem, objects, columns)
    if service is not None:
        objects.append(service)
    gone = list(_no_longer_declared(store, objects))
    with warnings.catch_warnings():  # that on-demand views are experimental, and slow in Feast's own joins
        warnings.simplefilter("ignore")
        store.apply(objects, objects_to_delete=gone, partial=False)
    logger.info("registered %s feature views and service %s", len(features.views), service_name)


def _no_longer_declared(store: FeatureStore, objects: list[Any]) -> Iterator[Any]:
    from feast.base_feature_view import BaseFeatureView
    from feast.data_source import DataSource

    views = {one.name for one in objects if isinstance(one, BaseFeatureView)}
    sources = {one.name for one in objects} | {source_name(view) for view in views}
    kept = {one.name for one in [*objects, *kept_services(store, objects)]}
    yield from (service for service in store.list_feature_services() if service.name not in kept)
    listed = [*store.list_on_demand_feature_views(), *store.list_feature_views()]
    yield from (view for view in listed if view.name not in views)
    for source in store.list_data_sources():
        if isinstance(source, DataSource) and source.name not in sources:
            yield source


def kept_services(store: FeatureStore, objects: list[Any]) -> list[FeatureService]:
    """List the registered services of other models that read nothing but declared features.

    Args:
        store: The repository.
        objects: What is declared, services included.
    """
    from feast.base_feature_view import BaseFeatureView

    own = {one.name for one in objects}
    declared = {
        (view.name, field.name) for view in objects if isinstance(view, BaseFeatureView) for field in view.features
    }
    return [
        service
        for service in store.list_feature_services()
        if service.name not in own
        and declared.issuperset(
            (projection.name, field.name)
            for projection in service.feature_view_projections
            for field in projection.features
        )
    ]
