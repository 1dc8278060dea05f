"""Mistakes in a feature view: unknown columns, expressions that do not work, values of other types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from proml_kedro.engine.duckdb import explain, is_moment, number, quote, sql_type
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.views.aggregates.base import Aggregate
from proml_kedro.spec.features import ColumnFeature, FeatureSource, FeatureViewSpec, WindowFeature


def source_of(view: FeatureViewSpec) -> FeatureSource:
    """Return the source of a view that is stored."""
    assert not isinstance(view.source, str)  # noqa: S101 - for the type checker: views without a table are left out
    return view.source


def check_view(name: str, view: FeatureViewSpec, relation: Relation) -> Iterator[Mistake]:
    """Find what does not work. Rows are read only for whole numbers that could have a fraction.

    Args:
        name: The view.
        view: What it is.
        relation: The table of its source.
    """
    source, key = source_of(view), f"features.{name}"
    for one in view.key:
        if relation.type_of(one) is None:
            yield Mistake(f"{key}.key", f"in table '{source.table}': {unknown('column', one, relation.schema)}")
    if source.event_time is not None:
        type_ = relation.type_of(source.event_time)
        if type_ is None:
            yield Mistake(f"{key}.source.event_time", unknown("column", source.event_time, relation.schema))
        elif not is_moment(type_):
            yield Mistake(f"{key}.source.event_time", f"'{source.event_time}' is {type_}, not a timestamp")
    for field, feature in view.features.items():
        for part, expression in _expressions(field, feature):
            mistake = _check_expression(feature, f"{key}.features.{field}", part, expression, relation)
            if mistake:
                yield mistake


def _check_expression(
    feature: ColumnFeature | WindowFeature, key: str, part: str, expression: str, relation: Relation
) -> Mistake | None:
    place = key + part
    type_, mistake = relation.check_expression(expression, place)
    if mistake or type_ is None:
        return mistake
    wrong = _wrong_type(feature, type_) if part == ".expression" else None
    if wrong:
        return Mistake(place, wrong)
    if feature.dtype in ("int", "bool") and isinstance(feature, ColumnFeature):
        check = relation.check_whole if feature.dtype == "int" else relation.check_truth
        with suppress(EngineError):  # said once the values are computed
            return check(expression, type_, place)
    return None


def _wrong_type(feature: ColumnFeature | WindowFeature, type_: str) -> str | None:
    return feature.check_type(type_) if isinstance(feature, Aggregate) else None


def _expressions(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[tuple[str, str]]:
    """The expressions of a feature, each with the end of its key in the configuration."""
    if feature.expression:
        yield ".expression", feature.expression
    elif isinstance(feature, ColumnFeature):
        yield "", quote(field)
    if isinstance(feature, WindowFeature) and feature.filter:
        yield ".filter", feature.filter


def value_of(field: str, feature: ColumnFeature | WindowFeature) -> str:
    """Return a feature's value in one row of the source, in SQL."""
    if isinstance(feature, Aggregate):
        return feature.value_sql()
    return number(feature.expression or quote(field), feature.dtype)


def blame(name: str, view: FeatureViewSpec, relation: Relation, error: EngineError) -> UserError:
    """Return which features' values cannot be computed; known only once they are.

    Args:
        name: The view.
        view: What it is.
        relation: The table of its source.
        error: What the engine raised.
    """
    mistakes = []
    for field, feature in view.features.items():
        try:
            relation.engine.rows(f"SELECT count({value_of(field, feature)}) FROM {relation}")
        except EngineError as own:
            wanted = feature.event_type() if isinstance(feature, Aggregate) else sql_type(feature.dtype)
            part = ".expression" if feature.expression else ""
            failed = f"cannot be computed{f' as {wanted}' if wanted else ''}"
            mistakes.append(Mistake(f"features.{name}.features.{field}{part}", f"{failed}: {explain(own)}"))
    return UserError(*mistakes or [Mistake(f"features.{name}", explain(error))])
