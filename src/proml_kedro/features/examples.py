"""The examples to learn from: their moment, their split, their label, and what comes with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.asof_sql import moment_literal
from proml_kedro.features.sql import (
    check_expression,
    describe,
    enclosed,
    explain,
    find,
    is_moment,
    literal,
    microseconds,
    number,
    parquet,
    quote,
)
from proml_kedro.features.views import key_types
from proml_kedro.spec.features import ColumnFeature, FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    import duckdb

RESERVED = ("example_id", "timestamp", "event_timestamp", "day", "split", "label")
"""Columns of a training set that are neither entities nor features."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Facts:
    """What is known of the examples before any feature is joined to them.

    Attributes:
        rows: Examples with a label.
        dropped: Those without one.
        splits: For each split its rows, label rate and first and last moment.
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
    mistakes = [
        *_check_columns(problem, describe(connection, relation)),
        *_check_label(connection, problem, relation),
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


def _check_label(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec, relation: str) -> Iterator[Mistake]:
    parts = {"expression": problem.label.expression, "drop_when": problem.label.drop_when}
    for part, expression in parts.items():
        if expression is None:
            continue
        key = f"problem.label.{part}"
        type_, mistake = check_expression(connection, relation, expression, key)
        if mistake:
            yield mistake
        elif type_ != "BOOLEAN":
            yield Mistake(key, f"is {type_}, not true or false; compare it with something, as in `({expression}) > 0`")


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
        f"CAST({enclosed(problem.label.expression)} AS FLOAT) AS label",
        *_requested_sql(features, requested),
    ]
    return f"SELECT {', '.join(selected)} FROM {table} WHERE {_kept(problem)}"


def _requested_sql(features: FeaturesSpec, requested: Sequence[str]) -> Iterator[str]:
    for name in requested:
        view, _, field = name.partition(".")
        feature = features.views[view].features[field]
        if isinstance(feature, ColumnFeature):
            yield f"{number(feature.expression or quote(field), feature.dtype)} AS {quote(f'{view}__{field}')}"


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
        UserError: Moments or labels are missing, a split has no rows, or only one class.
    """
    import duckdb

    moment = quote(problem.examples.timestamp)
    try:
        rows = connection.execute(
            f"""
            SELECT {_split_sql(problem)}, count(*), count(__label), count(*) FILTER (__label),
                min({moment}), max({moment}), count({moment})
            FROM (SELECT *, {enclosed(problem.label.expression)} AS __label FROM {table} WHERE {_kept(problem)})
            GROUP BY 1"""
        ).fetchall()
        total = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    except duckdb.Error as error:
        raise UserError.at("problem.label.expression", explain(error)) from error
    kept = sum(row[1] for row in rows)
    _check_complete(problem, kept, kept - sum(row[6] for row in rows), kept - sum(row[2] for row in rows))
    splits = {
        name: {"rows": n, "label_rate": positive / n, "from": first.isoformat(), "to": last.isoformat()}
        for name, n, _, positive, first, last, _ in sorted(rows, key=lambda row: SPLITS.index(row[0]))
    }
    mistakes = list(_check_splits(problem, splits))
    if mistakes:
        raise UserError(*mistakes)
    return Facts(kept, total - kept, splits)


def _check_complete(problem: ProblemSpec, kept: int, no_moment: int, no_label: int) -> None:
    mistakes = []
    if not kept:
        mistakes.append(Mistake("problem.label.drop_when", "drops every example"))
    if no_moment:
        message = f"'{problem.examples.timestamp}' is null in {no_moment:,} of {kept:,} examples; leave them out"
        mistakes.append(Mistake("problem.examples.timestamp", f"{message} with label.drop_when"))
    if no_label:
        message = f"is null for {no_label:,} of {kept:,} examples; leave them out with drop_when"
        mistakes.append(Mistake("problem.label.expression", message))
    if mistakes:
        raise UserError(*mistakes)


def _check_splits(problem: ProblemSpec, splits: dict[str, dict[str, Any]]) -> Iterator[Mistake]:
    period = f"{min(one['from'] for one in splits.values())} to {max(one['to'] for one in splits.values())}"
    for name in SPLITS:
        if name not in splits:
            key = "problem.split.test_from" if name == "test" else "problem.split.validation_from"
            yield Mistake(key, f"no example is in the {name} period; the data goes from {period}")
        elif splits[name]["label_rate"] in (0.0, 1.0):
            label = "true" if splits[name]["label_rate"] else "false"
            yield Mistake(
                "problem.label.expression", f"is {label} for all {splits[name]['rows']:,} examples of the {name} period"
            )
