"""Tables → one Parquet file for each feature view: what a key's values are, and from when each is known."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import (
    check_expression,
    connect,
    describe,
    explain,
    find,
    is_machine_trouble,
    is_moment,
    literal,
    number,
    parquet,
    quote,
    sql_type,
)
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.views.aggregates import value_sql, value_type
from proml_kedro.features.views.windows import known_at, needs_order, snapshot_sql
from proml_kedro.spec.features import ColumnFeature, FeatureSource, FeaturesSpec, FeatureViewSpec, WindowFeature
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

_WHOLE = r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT"
_ALWAYS = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
"""From when the values of a table that does not change are known."""


def compute_views(
    problem: ProblemSpec, features: FeaturesSpec, tables: Path, hardware: HardwareSpec, folder: Path
) -> None:
    """Compute every feature view that has a source into ``<view>.parquet``.

    A file holds the key columns, ``event_timestamp`` (when the values are known), ``created_timestamp`` (the same) and
    the features; no two rows share a key and a time: of several in the table, the last one counts. Rows without a key
    or a time are left out.

    Args:
        problem: The problem.
        features: Its features.
        tables: Folder of the problem's tables, as :func:`proml_kedro.features.tables.read.read_tables` writes them.
        hardware: The machine.
        folder: An empty folder to write to.

    Raises:
        UserError: Columns, expressions or types that do not work, for all views at once.
    """
    views = {name: view for name, view in features.views.items() if view.is_stored}
    with connect(hardware, folder) as connection:
        keys = key_types(connection, problem, tables)
        checked = [mistake for name, view in views.items() for mistake in _check(connection, name, view, tables)]
        if checked:
            raise UserError(*checked)
        for name, view in views.items():
            _write(connection, name, view, {one: keys[one] for one in view.key}, tables, folder)


def key_types(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec, tables: Path) -> dict[str, str]:
    """The SQL type that each entity's key has everywhere: whole numbers ``BIGINT``, all else ``VARCHAR``."""
    columns = describe(connection, parquet(tables / f"{problem.examples.table}.parquet"))
    return {
        name: "BIGINT" if re.fullmatch(_WHOLE, find(name, columns) or "") else "VARCHAR"
        for name in problem.examples.entities
    }


def _source(view: FeatureViewSpec) -> FeatureSource:
    assert not isinstance(view.source, str)  # noqa: S101 - for the type checker: views without a table are left out
    return view.source


def _check(connection: duckdb.DuckDBPyConnection, name: str, view: FeatureViewSpec, tables: Path) -> Iterator[Mistake]:
    source, key = _source(view), f"features.{name}"
    relation = parquet(tables / f"{source.table}.parquet")
    columns = describe(connection, relation)
    for one in view.key:
        if find(one, columns) is None:
            yield Mistake(f"{key}.key", f"in table '{source.table}': {unknown('column', one, columns)}")
    if source.event_time is not None:
        type_ = find(source.event_time, columns)
        if type_ is None:
            yield Mistake(f"{key}.source.event_time", unknown("column", source.event_time, columns))
        elif not is_moment(type_):
            yield Mistake(f"{key}.source.event_time", f"'{source.event_time}' is {type_}, not a timestamp")
    for field, feature in view.features.items():
        for part, expression in _expressions(field, feature):
            place = f"{key}.features.{field}{part}"
            type_, mistake = check_expression(connection, relation, expression, place)
            if mistake:
                yield mistake
            elif part == ".expression" and _is_rate(feature) and type_ != "BOOLEAN":
                yield Mistake(place, f"is {type_}, not true or false, so no share of events; compare it with something")


def _is_rate(feature: ColumnFeature | WindowFeature) -> bool:
    return isinstance(feature, WindowFeature) and feature.agg == "rate"


def _expressions(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[tuple[str, str]]:
    """The expressions of a feature, each with the end of its key in the configuration."""
    if feature.expression:
        yield ".expression", feature.expression
    elif isinstance(feature, ColumnFeature):
        yield "", quote(field)
    if isinstance(feature, WindowFeature) and feature.filter:
        yield ".filter", feature.filter


def _write(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    view: FeatureViewSpec,
    keys: Mapping[str, str],
    tables: Path,
    folder: Path,
) -> None:
    import duckdb

    file = tables / f"{_source(view).table}.parquet"
    if view.is_windowed:
        options = ", file_row_number = true" if needs_order(view) else ""
        query = snapshot_sql(view, parquet(file, options=options), keys)
    else:
        query = _columns_sql(view, file, keys)
    order = ", ".join([*map(quote, keys), "event_timestamp"])
    try:
        rows = connection.execute(
            f"COPY (SELECT * FROM ({query}) ORDER BY {order}) "
            f"TO {literal(str(folder / f'{name}.parquet'))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()[0][0]
    except duckdb.Error as error:
        if is_machine_trouble(error):
            raise
        raise _blame(connection, name, view, parquet(file), error) from error
    logger.info("feature view %s: %s rows", name, f"{rows:,}")


def _columns_sql(view: FeatureViewSpec, file: Path, keys: Mapping[str, str]) -> str:
    """The view's columns as they stand in the table, the last row for each key and time."""
    source = _source(view)
    known = known_at(source) if source.event_time else _ALWAYS
    by = ", ".join(quote(name) for name in keys)
    columns = [f"CAST({quote(name)} AS {type_}) AS {quote(name)}" for name, type_ in keys.items()]
    columns += [f"{known} AS event_timestamp", f"{known} AS created_timestamp"]
    columns += [f"{_column_sql(field, feature)} AS {quote(field)}" for field, feature in view.features.items()]
    present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in [*keys, "event_timestamp"])
    return f"""
SELECT * EXCLUDE (__position) FROM (
    SELECT {", ".join(columns)}, file_row_number AS __position FROM {parquet(file, options=", file_row_number = true")}
) WHERE {present}
QUALIFY row_number() OVER (PARTITION BY {by}, event_timestamp ORDER BY __position DESC) = 1"""


def _column_sql(field: str, feature: ColumnFeature | WindowFeature) -> str:
    if isinstance(feature, WindowFeature):
        return value_sql(feature)
    return number(feature.expression or quote(field), feature.dtype)


def _blame(
    connection: duckdb.DuckDBPyConnection, name: str, view: FeatureViewSpec, relation: str, error: Exception
) -> UserError:
    """Which feature's values cannot be computed; known only once they are."""
    import duckdb

    mistakes = []
    for field, feature in view.features.items():
        try:
            connection.execute(f"SELECT count({_column_sql(field, feature)}) FROM {relation}").fetchall()
        except duckdb.Error as own:
            wanted = sql_type(feature.dtype) if isinstance(feature, ColumnFeature) else value_type(feature)
            part = ".expression" if feature.expression else ""
            failed = f"cannot be computed{f' as {wanted}' if wanted else ''}"
            mistakes.append(Mistake(f"features.{name}.features.{field}{part}", f"{failed}: {explain(own)}"))
    return UserError(*mistakes or [Mistake(f"features.{name}", explain(error))])
