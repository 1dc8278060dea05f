"""What is predicted, and what goes with it into the training set: auxiliary labels, weights, groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proml_kedro.engine.duckdb import enclosed, is_number, literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import ExampleColumns
from proml_kedro.spec.training_set import GROUP, LABEL, WEIGHT, auxiliary


def kept(problem: ProblemSpec) -> str:
    """Return the condition for an example to have a label, in SQL."""
    return f"{enclosed(problem.label.drop_when)} IS NOT TRUE" if problem.label.drop_when else "true"


def split_sql(problem: ProblemSpec, columns: Iterable[str]) -> str:
    """Return the split of each example, in SQL over the examples' columns.

    Args:
        problem: The problem.
        columns: Of the examples' table.
    """
    examples, label = problem.examples, problem.label
    moment = quote(examples.timestamp) if examples.timestamp else None
    keys = [*map(quote, examples.entities), *([moment] if moment else [])]
    own = ", ".join(keys or map(quote, sorted(columns)))  # of a plain table the row itself
    truth = enclosed(label.expression) if label.task in ("binary", "multiclass") else None
    sql: str = problem.split.divide(ExampleColumns(moment, own, truth))
    return sql


def check_labels(problem: ProblemSpec, relation: Relation) -> Iterator[Mistake]:
    """Find what is wrong with labels, weight and group.

    Args:
        problem: The problem.
        relation: The examples' table.
    """
    label, examples = problem.label, problem.examples
    parts = [
        ("problem.label.expression", label.expression, _WANTED.get(label.task, {"number"})),
        ("problem.label.drop_when", label.drop_when, {"truth value"}),
        ("problem.examples.weight", examples.weight, {"number"}),
        *(
            (f"problem.auxiliary_labels.{name}", expression, {"number", "truth value"})
            for name, expression in problem.auxiliary_labels.items()
        ),
    ]
    for key, expression, sorts in parts:
        if expression is not None:
            type_, mistake = relation.check_expression(expression, key)
            if mistake:
                yield mistake
            elif type_ is not None and not _sorts(type_) & sorts:
                yield Mistake(key, _not_a(sorts, type_, expression))
    if examples.group is not None and relation.type_of(examples.group) is None:
        yield Mistake("problem.examples.group", unknown("column", examples.group, relation.schema))


_WANTED = {"binary": {"truth value"}, "multiclass": {"text", "whole number", "truth value"}}


def _sorts(type_: str) -> set[str]:
    """What values of a SQL type are."""
    if type_ == "BOOLEAN":
        return {"truth value"}
    if is_number(type_):
        return {"number"} if type_.startswith(("DECIMAL", "FLOAT", "DOUBLE")) else {"number", "whole number"}
    return {"text" if type_ == "VARCHAR" or type_.startswith("ENUM") else "other"}


def _not_a(sorts: set[str], type_: str, expression: str) -> str:
    if "text" in sorts:
        cast = f"CAST({expression} AS {'BIGINT' if is_number(type_) else 'VARCHAR'})"
        whole = ", if all are whole numbers; for ranges of a number write CASE WHEN" if is_number(type_) else ""
        return f"is {type_}, and classes are text or whole numbers; write {cast}{whole}"
    if "number" in sorts:
        return f"is {type_}, not a number"
    example = "'some text'" if type_ == "VARCHAR" else "0"
    comparison = "=" if type_ == "VARCHAR" else ">"
    return f"is {type_}, not true or false; compare it with something, as in `({expression}) {comparison} {example}`"


def label_sql(problem: ProblemSpec) -> str:
    """Return the label of each example in SQL: float64, of classes the number of each one's, from 0.

    Args:
        problem: The problem, with its classes as :func:`proml_kedro.features.training.classes.with_classes` finds them.
    """
    label = enclosed(problem.label.expression)
    if problem.label.task != "multiclass":
        return f"CAST({label} AS DOUBLE)"
    names = ", ".join(map(literal, problem.label.classes))
    return f"CAST(list_position([{names}]::VARCHAR[], CAST({label} AS VARCHAR)) - 1 AS DOUBLE)"


def rounded_sql(problem: ProblemSpec, type_: str | None) -> str:
    """Return the condition for a label to be a whole number that float64 rounds, in SQL over the examples.

    Args:
        problem: The problem.
        type_: SQL type of the label's expression.
    """
    if type_ is None or problem.label.task == "multiclass" or "whole number" not in _sorts(type_):
        return "false"
    label = enclosed(problem.label.expression)
    return f"CAST(CAST({label} AS DOUBLE) AS HUGEINT) != CAST({label} AS HUGEINT)"


def label_columns(problem: ProblemSpec) -> dict[str, str]:
    """Return the columns of a training set that hold labels and what goes with them: name → SQL over the examples."""
    columns = {LABEL: label_sql(problem)}
    if problem.examples.weight is not None:
        columns[WEIGHT] = f"CAST({enclosed(problem.examples.weight)} AS DOUBLE)"
    if problem.examples.group is not None:
        columns[GROUP] = quote(problem.examples.group)
    for name, expression in problem.auxiliary_labels.items():
        columns[auxiliary(name)] = f"CAST({enclosed(expression)} AS DOUBLE)"
    return columns
