"""The examples to learn from: their moment, their split, their label, and what comes with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.duckdb import (
    check_expression,
    connect,
    describe,
    enclosed,
    explain,
    find,
    is_machine_trouble,
    is_moment,
    literal,
    microseconds,
    number,
    parquet,
    quote,
    sql_type,
)
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.training.labels import check_labels, label_columns
from proml_kedro.features.training.point_in_time import moment_literal
from proml_kedro.features.views.compute import key_types
from proml_kedro.spec.features import ColumnFeature, FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    import duckdb

RESERVED = ("example_id", "timestamp", "event_timestamp", "day", "split", "label", "weight", "group")
"""Columns of a training set that are neither entities nor features."""

MOMENTS = ("timestamp", "event_timestamp", "day", "split")
"""Those of them that say when and where to an example belongs."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Facts:
    """What is known of the examples before any feature is joined to them.

    Attributes:
        rows: Examples with a label.
        dropped: Those without one.
        splits: For each split its rows, mean label and first and last moment.
    """

    rows: int
    dropped: int
    splits: dict[str, dict[str, Any]]


def check_examples(
    connection: duckdb.DuckDBPyConnection,
    problem: ProblemSpec,
    features: FeaturesSpec,
    requested: Sequence[str],
    tables: Path,
) -> None:
    """See that columns and expressions exist and fit.

    Args:
        connection: A database.
        problem: The problem.
        features: Its features.
        requested: Request features to check, as ``view.feature``.
        tables: Folder of the problem's tables.

    Raises:
        UserError: All that is wrong.
    """
    relation = parquet(tables / f"{problem.examples.table}.parquet")
    columns = describe(connection, relation)
    mistakes = [
        *_check_columns(problem, columns),
        *check_labels(connection, problem, relation, columns),
        *_check_requested(connection, features, requested, relation),
    ]
    if mistakes:
        raise UserError(*mistakes)


def _check_columns(problem: ProblemSpec, columns: dict[str, str]) -> Iterator[Mistake]:
    examples = problem.examples
    for position, name in enumerate(examples.entities):
        key = f"problem.examples.entities.{position}"
        if name.lower() in RESERVED:
            yield Mistake(key, f"'{name}' is a column of every training set; derive the entity under another name")
        elif find(name, columns) is None:
            yield Mistake(key, unknown("column", name, columns))
    type_ = find(examples.timestamp, columns)
    if type_ is None:
        yield Mistake("problem.examples.timestamp", unknown("column", examples.timestamp, columns))
    elif not is_moment(type_):
        yield Mistake("problem.examples.timestamp", f"'{examples.timestamp}' is {type_}, not a timestamp")


def _check_requested(
    connection: duckdb.DuckDBPyConnection, features: FeaturesSpec, requested: Sequence[str], relation: str
) -> Iterator[Mistake]:
    for name in requested:
        view, _, field = name.partition(".")
        feature = features.views[view].features[field]
        key = f"features.{view}.features.{field}" + (".expression" if feature.expression else "")
        _, mistake = check_expression(connection, relation, feature.expression or quote(field), key)
        if mistake:
            yield mistake


def examples_sql(
    connection: duckdb.DuckDBPyConnection,
    problem: ProblemSpec,
    features: FeaturesSpec,
    requested: Sequence[str],
    tables: Path,
) -> str:
    """The examples with a label as a query: entities, :data:`RESERVED` columns, request features as ``view__feature``.

    Args:
        connection: A database.
        problem: The problem.
        features: Its features.
        requested: Request features, as ``view.feature``.
        tables: Folder of the problem's tables.
    """
    examples = problem.examples
    types = key_types(connection, problem, tables)
    moment = quote(examples.timestamp)
    table = parquet(tables / f"{examples.table}.parquet", options=", file_row_number = true")
    selected = [
        "row_number() OVER (ORDER BY file_row_number) - 1 AS example_id",
        *(f"CAST({quote(name)} AS {types[name]}) AS {quote(name)}" for name in examples.entities),
        f"{moment} AS timestamp",
        f"{moment} - to_microseconds({microseconds(examples.lead_time)}) AS event_timestamp",
        f"CAST(timezone({literal(problem.split.timezone)}, {moment}) AS DATE) AS day",
        f"{_split_sql(problem)} AS split",
        *(f"{expression} AS {quote(name)}" for name, expression in label_columns(problem).items()),
        *_requested_sql(features, requested),
    ]
    return f"SELECT {', '.join(selected)} FROM {table} WHERE {_kept(problem)}"


def _requested_sql(features: FeaturesSpec, requested: Sequence[str]) -> Iterator[str]:
    for name in requested:
        view, _, field = name.partition(".")
        feature = features.views[view].features[field]
        if isinstance(feature, ColumnFeature):
            yield f"{number(feature.expression or quote(field), feature.dtype)} AS {quote(f'{view}__{field}')}"


@contextmanager
def blaming(
    problem: ProblemSpec, features: FeaturesSpec, requested: Sequence[str], tables: Path, hardware: HardwareSpec
) -> Iterator[None]:
    """What cannot be computed for a training set, as mistakes of the request features that it is about.

    Raises:
        UserError: Such a feature has values that are not of its type.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        mistakes = [] if is_machine_trouble(error) else list(_failing(problem, features, requested, tables, hardware))
        if mistakes:
            raise UserError(*mistakes) from error
        raise


def _failing(
    problem: ProblemSpec, features: FeaturesSpec, requested: Sequence[str], tables: Path, hardware: HardwareSpec
) -> Iterator[Mistake]:
    import duckdb

    relation = parquet(tables / f"{problem.examples.table}.parquet")
    with connect(hardware) as connection:
        for name in requested:
            view, _, field = name.partition(".")
            feature = features.views[view].features[field]
            value = number(feature.expression or quote(field), feature.dtype)
            try:
                connection.execute(f"SELECT count({value}) FROM {relation} WHERE {_kept(problem)}").fetchall()
            except duckdb.Error as error:
                key = f"features.{view}.features.{field}" + (".expression" if feature.expression else "")
                yield Mistake(key, f"cannot be computed as {sql_type(feature.dtype)}: {explain(error)}")


def _kept(problem: ProblemSpec) -> str:
    return f"{enclosed(problem.label.drop_when)} IS NOT TRUE" if problem.label.drop_when else "true"


def _split_sql(problem: ProblemSpec) -> str:
    validation, test = (moment_literal(moment) for moment in problem.split.boundaries)
    moment = quote(problem.examples.timestamp)
    return f"CASE WHEN {moment} < {validation} THEN 'train' WHEN {moment} < {test} THEN 'validation' ELSE 'test' END"


def read_facts(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec, table: str) -> Facts:
    """Count the examples, and see that every split can be learned from or judged by.

    Args:
        connection: A database.
        problem: The problem.
        table: The examples' table, as it stands after FROM.

    Raises:
        UserError: Moments or labels are missing, a label is not what the task wants, a weight is negative, a split has
            no rows, or only one label.
    """
    import duckdb

    moment = quote(problem.examples.timestamp)
    weight = enclosed(problem.examples.weight or "1")
    try:
        rows = connection.execute(
            f"""
            SELECT {_split_sql(problem)} AS split, count(*) AS rows, min({moment}) AS first, max({moment}) AS last,
                avg(__label) AS mean, min(__label) AS least, max(__label) AS most,
                count(*) FILTER ({moment} IS NULL) AS no_moment,
                count(*) FILTER (__label IS NULL OR NOT isfinite(__label)) AS no_label,
                count(*) FILTER (__label < 0 OR __label != floor(__label)) AS no_count,
                sum(__weight) AS weight,
                count(*) FILTER (__weight IS NULL OR NOT __weight >= 0 OR isinf(__weight)) AS no_weight
            FROM (
                SELECT *, CAST({enclosed(problem.label.expression)} AS DOUBLE) AS __label,
                    CAST({weight} AS DOUBLE) AS __weight
                FROM {table} WHERE {_kept(problem)})
            GROUP BY 1"""
        )
        names = [column[0] for column in rows.description or ()]
        splits = {row[0]: dict(zip(names, row, strict=True)) for row in rows.fetchall()}
        total = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    except duckdb.Error as error:
        raise UserError.at("problem.label.expression", explain(error)) from error
    mistakes = [*_check_complete(problem, splits)] or [*_check_splits(problem, splits)]
    if mistakes:
        raise UserError(*mistakes)
    kept = sum(one["rows"] for one in splits.values())
    return Facts(kept, total - kept, {name: _facts_of(splits[name]) for name in SPLITS})


def _facts_of(split: Mapping[str, Any]) -> dict[str, Any]:
    first, last = split["first"].isoformat(), split["last"].isoformat()
    return {"rows": split["rows"], "label_mean": split["mean"], "from": first, "to": last}


def _check_complete(problem: ProblemSpec, splits: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    kept, no_moment, no_label, no_count, no_weight = (
        sum(one[name] for one in splits.values()) for name in ("rows", "no_moment", "no_label", "no_count", "no_weight")
    )
    if not kept:
        yield Mistake("problem.label.drop_when", "drops every example")
    if no_moment:
        message = f"'{problem.examples.timestamp}' is null in {no_moment:,} of {kept:,} examples; leave them out"
        yield Mistake("problem.examples.timestamp", f"{message} with label.drop_when")
    if no_label:
        message = f"is null or not finite for {no_label:,} of {kept:,} examples; leave them out with drop_when"
        yield Mistake("problem.label.expression", message)
    if no_count and problem.label.task == "count":
        message = f"is negative or not a whole number for {no_count:,} of {kept:,} examples; is the task 'regression'?"
        yield Mistake("problem.label.expression", message)
    if no_weight:
        message = f"is negative, null or infinite for {no_weight:,} of {kept:,} examples"
        yield Mistake("problem.examples.weight", message)


def _check_splits(problem: ProblemSpec, splits: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    first, last = min(one["first"] for one in splits.values()), max(one["last"] for one in splits.values())
    for name in SPLITS:
        if name not in splits:
            key = "problem.split.test_from" if name == "test" else "problem.split.validation_from"
            period = f"{first.isoformat()} to {last.isoformat()}"
            yield Mistake(key, f"no example is in the {name} period; the data goes from {period}")
        elif splits[name]["least"] == splits[name]["most"]:
            value = splits[name]["least"]
            label = ("true" if value else "false") if problem.label.task == "binary" else f"{value:g}"
            yield Mistake(
                "problem.label.expression", f"is {label} for all {splits[name]['rows']:,} examples of the {name} period"
            )
        elif not splits[name]["weight"]:
            yield Mistake("problem.examples.weight", f"is 0 for every example of the {name} period")
