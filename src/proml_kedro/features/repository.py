"""The declared features as objects of Feast, and the repository that they are registered in."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import UserError
from proml_kedro.features.catalog import feature_type
from proml_kedro.features.on_demand_view import on_demand_view
from proml_kedro.features.rows import SQLITE, online_place
from proml_kedro.features.sql import microseconds
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import ColumnFeature, FeaturesSpec, FeatureViewSpec, WindowFeature, window_length
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field

logger = logging.getLogger(__name__)

_STORE = "proml_kedro.features.asof_store.AsofOfflineStore"
_ONLINE_STORE = "proml_kedro.features.row_store.RowOnlineStore"


def feature_tables_folder(problem: ProblemSpec, data_dir: Path) -> Path:
    """Where a problem's newest feature tables are."""
    return data_dir.resolve() / problem.name / "feature_tables"


def open_repository(
    problem: ProblemSpec, features: FeaturesSpec, data_dir: Path, hardware: HardwareSpec, online_store: str = SQLITE
) -> FeatureStore:
    """The Feast repository of a problem; made on first use.

    The registry is shared by all problems, each a project of Feast; the online store is the problem's own.

    Args:
        problem: The problem.
        features: Its features.
        data_dir: Where results are kept.
        hardware: The machine, for point-in-time joins.
        online_store: Where values for scoring are kept, as in ``conf``.
    """
    from feast import FeatureStore, RepoConfig

    place = data_dir.resolve() / "feature_store"
    (place / problem.name).mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project=problem.name,
        provider="local",
        repo_path=place,
        registry={"registry_type": "file", "path": str(place / "registry.db"), "cache_ttl_seconds": 60},
        offline_store={"type": _STORE, "threads": hardware.threads, "memory": hardware.memory},
        online_store={"type": _ONLINE_STORE, "path": online_place(online_store, problem.name, data_dir)},
        entity_key_serialization_version=3,
    )
    return FeatureStore(repo_path=str(place), config=config)


def feast_objects(problem: ProblemSpec, features: FeaturesSpec, data_dir: Path) -> list[Any]:
    """The project, entities, sources and views of a problem, as Feast declares them.

    Args:
        problem: The problem.
        features: Its features.
        data_dir: Where results are kept; the feature tables must be there.

    Raises:
        UserError: There are no feature tables yet.
    """
    from feast import Project

    folder = feature_tables_folder(problem, data_dir)
    computed = [name for name, view in features.views.items() if view.is_stored]
    missing = [name for name in computed if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise UserError.at("", f"no feature table for '{missing[0]}' yet: `kedro run --pipelines=features` makes them")
    entities = {entity.name: entity for entity in _entities(features, folder)}
    objects: list[Any] = [Project(name=problem.name, description=problem.description), *entities.values()]
    for name, view in features.views.items():
        if view.is_request:
            objects.append(_request_source(problem, name, view))
        elif view.is_stored:
            objects.append(_feature_view(problem, name, view, entities, folder))
    for name, view in features.views.items():
        if view.is_on_demand:
            tags = {"problem": problem.name, **view.tags}
            objects.append(on_demand_view(name, features, objects, _fields(view, {}), tags))
    return objects


def feature_service(
    name: str, problem: ProblemSpec, objects: list[Any], columns: Mapping[str, Dtype]
) -> FeatureService | None:
    """The features a model reads, as a Feast service; None when all of them come with the request.

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
        view, _, feature = column.partition(".")
        if view in views:
            selected.setdefault(view, []).append(feature)
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
) -> None:
    """Declare the features, and those a model reads, in the registry; what is no longer declared is removed.

    Args:
        store: The repository, as :func:`open_repository` opens it.
        problem: The problem.
        features: Its features.
        service_name: Name of the model's feature service.
        columns: ``view.feature`` of what the model reads.

    Raises:
        UserError: There are no feature tables yet.
    """
    data_dir = Path(store.repo_path).parent
    objects = feast_objects(problem, features, data_dir)
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
    sources = {one.name for one in objects} | {_source_name(view) for view in views}
    kept = {one.name for one in [*objects, *kept_services(store, objects)]}
    yield from (service for service in store.list_feature_services() if service.name not in kept)
    listed = [*store.list_on_demand_feature_views(), *store.list_feature_views()]
    yield from (view for view in listed if view.name not in views)
    for source in store.list_data_sources():
        if isinstance(source, DataSource) and source.name not in sources:
            yield source


def kept_services(store: FeatureStore, objects: list[Any]) -> list[FeatureService]:
    """The registered services of other models, as long as all that they read is still declared.

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


def _source_name(view: str) -> str:
    return f"{view}_table"


def _entities(features: FeaturesSpec, folder: Path) -> Iterator[Entity]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from feast import Entity, ValueType

    seen = set()
    for name, view in features.views.items():
        new = [key for key in view.key if key not in seen]
        schema = pq.read_schema(folder / f"{name}.parquet") if new else None
        for key in new:
            seen.add(key)
            whole = schema is not None and pa.types.is_integer(schema.field(key).type)
            yield Entity(name=key, join_keys=[key], value_type=ValueType.INT64 if whole else ValueType.STRING)


def _feature_view(
    problem: ProblemSpec, name: str, view: FeatureViewSpec, entities: Mapping[str, Entity], folder: Path
) -> FeatureView:
    from feast import FeatureView, FileSource

    if isinstance(view.source, str):
        raise ValueError(f"'{name}' has no feature table")
    tags = {"problem": problem.name, "table": view.source.table, **view.tags}
    if view.is_windowed:
        tags["snapshot"] = format_duration(view.snapshot)
    if view.source.delay:
        tags["delay"] = format_duration(view.source.delay)
    return FeatureView(
        name=name,
        entities=[entities[key] for key in view.key],
        ttl=view.source.ttl or timedelta(0),
        schema=_fields(view, entities),
        source=FileSource(
            name=_source_name(name),
            path=str(folder / f"{name}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
            owner=view.owner,
        ),
        description=view.description,
        owner=view.owner,
        tags=tags,
    )


def _request_source(problem: ProblemSpec, name: str, view: FeatureViewSpec) -> Any:
    from feast import RequestSource

    return RequestSource(
        name=name,
        schema=_fields(view, {}),
        description=view.description,
        owner=view.owner,
        tags={"problem": problem.name, **view.tags},
    )


def _fields(view: FeatureViewSpec, entities: Mapping[str, Entity]) -> list[Field]:
    from feast import Field
    from feast.types import Array, Bool, Float32, Float64, Int64, String, from_value_type

    types = {"float": Float64, "int": Int64, "bool": Bool, "str": String}
    fields = [Field(name=key, dtype=from_value_type(entities[key].value_type)) for key in view.key if key in entities]
    for field, feature in view.features.items():
        for column, tags, suffix in _described(field, feature):
            fields.append(
                Field(
                    name=column,
                    dtype=Array(Float32) if vector_size(feature.dtype) else types[feature.dtype],
                    description=(feature.description or field) + suffix,
                    tags={"data_type": feature.dtype, **tags, **({"owner": view.owner} if view.owner else {})},
                )
            )
    return fields


def _described(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[tuple[str, dict[str, str], str]]:
    """Each column of a declared feature with its tags and the end of its description."""
    kind = {"feature_type": feature_type(feature.dtype), **feature.tags}
    if feature.expression:
        kind["expression"] = feature.expression
    if isinstance(feature, ColumnFeature):
        yield field, kind, ""
        return
    if feature.filter:
        kind["filter"] = feature.filter
    if feature.q is not None:
        kind["quantile"] = str(feature.q)
    if feature.half_life is not None:
        kind["half_life"] = format_duration(feature.half_life)
    for window in dict.fromkeys(feature.windows):
        length = window_length(window)
        seconds = "" if length is None else str(microseconds(length) // 1_000_000)
        tags = {**kind, "aggregate": feature.agg, "aggregation_length": window, "aggregation_seconds": seconds}
        yield f"{field}_{window}", tags, ", all time" if length is None else f", last {window}"
