"""What is to be predicted, and what goes with it into the training set: auxiliary labels, weights, groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import check_expression, enclosed, find, is_number, quote
from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    import duckdb


def check_labels(
    connection: duckdb.DuckDBPyConnection, problem: ProblemSpec, relation: str, columns: dict[str, str]
) -> Iterator[Mistake]:
    """What is wrong with labels, weight and group.

    Args:
        connection: A database.
        problem: The problem.
        relation: The examples' table, as it stands after FROM.
        columns: Its columns with their types.
    """
    label, examples = problem.label, problem.examples
    wanted = "truth value" if label.task == "binary" else "number"
    parts = [
        ("problem.label.expression", label.expression, {wanted}),
        ("problem.label.drop_when", label.drop_when, {"truth value"}),
        ("problem.examples.weight", examples.weight, {"number"}),
        *(
            (f"problem.auxiliary_labels.{name}", expression, {"number", "truth value"})
            for name, expression in problem.auxiliary_labels.items()
        ),
    ]
    for key, expression, sorts in parts:
        if expression is not None:
            type_, mistake = check_expression(connection, relation, expression, key)
            if mistake:
                yield mistake
            elif type_ is not None and _sort(type_) not in sorts:
                yield Mistake(key, _not_a(sorts, type_, expression))
    if examples.group is not None and find(examples.group, columns) is None:
        yield Mistake("problem.examples.group", unknown("column", examples.group, columns))


def _sort(type_: str) -> str:
    if type_ == "BOOLEAN":
        return "truth value"
    return "number" if is_number(type_) else "text" if type_ == "VARCHAR" else "other"


def _not_a(sorts: set[str], type_: str, expression: str) -> str:
    if "number" in sorts:
        return f"is {type_}, not a number"
    example = "'some text'" if type_ == "VARCHAR" else "0"
    comparison = "=" if type_ == "VARCHAR" else ">"
    return f"is {type_}, not true or false; compare it with something, as in `({expression}) {comparison} {example}`"


def label_columns(problem: ProblemSpec) -> dict[str, str]:
    """Name → SQL over the examples' columns, of the columns that a training set has beside the features."""
    columns = {"label": f"CAST({enclosed(problem.label.expression)} AS FLOAT)"}
    if problem.examples.weight is not None:
        columns["weight"] = f"CAST({enclosed(problem.examples.weight)} AS FLOAT)"
    if problem.examples.group is not None:
        columns["group"] = quote(problem.examples.group)
    for name, expression in problem.auxiliary_labels.items():
        columns[f"label.{name}"] = f"CAST({enclosed(expression)} AS FLOAT)"
    return columns
