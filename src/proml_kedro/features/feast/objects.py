"""The declared features as objects of Feast: entities, sources, views and on-demand views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.duckdb import microseconds
from proml_kedro.errors import UserError
from proml_kedro.features.feast.on_demand_view import on_demand_view
from proml_kedro.results.names import table_file
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.dtype import feature_type, vector_size
from proml_kedro.spec.features import ColumnFeature, FeaturesSpec, FeatureViewSpec, WindowFeature, window_length
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP

if TYPE_CHECKING:
    from feast import Entity, FeatureView, Field


def feast_objects(problem: ProblemSpec, features: FeaturesSpec, tables: Path) -> list[Any]:
    """Make the project, entities, sources and views of a problem, as Feast declares them.

    Args:
        problem: The problem.
        features: Its features.
        tables: Folder of the feature tables. Where a link leads is registered, so that views and tables are those of
            one run, whatever becomes of the link.

    Raises:
        UserError: There are no feature tables yet.
    """
    from feast import Project

    folder = tables.resolve()
    computed = [name for name, view in features.views.items() if view.is_stored]
    missing = [name for name in computed if not table_file(folder, name).exists()]
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


def source_name(view: str) -> str:
    """Return the name of a view's source."""
    return f"{view}_table"


def _entities(features: FeaturesSpec, folder: Path) -> Iterator[Entity]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from feast import Entity, ValueType

    seen = set()
    for name, view in features.views.items():
        new = [key for key in view.key if key not in seen]
        schema = pq.read_schema(table_file(folder, name)) if new else None
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
            name=source_name(name),
            path=str(table_file(folder, name)),
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=CREATED_TIMESTAMP,
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
    """Yield each column of a declared feature with its tags and the end of its description."""
    kind = {"feature_type": feature_type(feature.dtype), **feature.tags}
    if feature.expression:
        kind["expression"] = feature.expression
    if isinstance(feature, ColumnFeature):
        yield field, kind, ""
        return
    if feature.filter:
        kind["filter"] = feature.filter
    kind |= feature.option_texts()
    for window in dict.fromkeys(feature.windows):
        length = window_length(window)
        seconds = "" if length is None else str(microseconds(length) // 1_000_000)
        tags = {**kind, "aggregate": feature.agg, "aggregation_length": window, "aggregation_seconds": seconds}
        yield f"{field}_{window}", tags, ", all time" if length is None else f", last {window}"
