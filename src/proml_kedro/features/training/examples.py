"""The examples to learn from, as a query: their moment, their split, their label, and what comes with them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from proml_kedro.engine.duckdb import is_moment, microseconds, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.labels import check_labels, kept, label_columns, split_sql
from proml_kedro.features.training.requested import RequestFeature, check_requested
from proml_kedro.features.views.keys import keys_sql
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import CLASS, DAY, EVENT_TIMESTAMP, EXAMPLE_ID, RESERVED, SCORED, SPLIT, TIMESTAMP


def check_examples(problem: ProblemSpec, requested: Sequence[RequestFeature], tables: Tables) -> None:
    """Check that columns and expressions exist and fit.

    Args:
        problem: The problem.
        requested: Request features to check.
        tables: The problem's tables.

    Raises:
        UserError: All that is wrong.
    """
    examples = tables.relation(problem.examples.table)
    mistakes = [
        *_check_columns(problem, examples),
        *_check_split(problem, examples),
        *check_labels(problem, examples),
        *check_requested(requested, examples),
    ]
    if mistakes:
        raise UserError(*mistakes)


def _check_columns(problem: ProblemSpec, relation: Relation) -> Iterator[Mistake]:
    examples = problem.examples
    for position, name in enumerate(examples.entities):
        key = f"problem.examples.entities.{position}"
        if name.lower() in (*RESERVED, *SCORED) and (name.lower() != CLASS or problem.label.task == "multiclass"):
            yield Mistake(key, f"'{name}' is a column of training sets or scores; derive the entity under another name")
        elif relation.type_of(name) is None:
            yield Mistake(key, unknown("column", name, relation.schema))
    if examples.timestamp is None:
        return
    type_ = relation.type_of(examples.timestamp)
    if type_ is None:
        yield Mistake("problem.examples.timestamp", unknown("column", examples.timestamp, relation.schema))
    elif not is_moment(type_):
        yield Mistake("problem.examples.timestamp", f"'{examples.timestamp}' is {type_}, not a timestamp")


def _check_split(problem: ProblemSpec, relation: Relation) -> Iterator[Mistake]:
    missing = [(name, key) for name, key in problem.split.columns() if relation.type_of(name) is None]
    for name, key in missing:
        yield Mistake(f"problem.split.{key}", unknown("column", name, relation.schema))
    moment = problem.examples.timestamp
    if not missing and (moment is None or is_moment(relation.type_of(moment) or "")):
        _, mistake = relation.check_expression(split_sql(problem, relation.schema), "problem.split")
        if mistake:
            yield mistake


def examples_sql(problem: ProblemSpec, requested: Sequence[RequestFeature], tables: Tables) -> str:
    """Return the examples with a label as a query.

    Its columns are those of a training set without features, and request features as ``view__feature``.

    Args:
        problem: The problem.
        requested: Request features.
        tables: The problem's tables.
    """
    examples = problem.examples
    columns = tables.relation(examples.table).schema
    derived = {one.lower() for one in problem.tables[examples.table].columns}
    selected = [
        f"row_number() OVER (ORDER BY file_row_number) - 1 AS {EXAMPLE_ID}",
        *(f"{sql} AS {quote(name)}" for name, sql in keys_sql(tables, examples.table, examples.entities).items()),
        *_moments(problem),
        f"{split_sql(problem, columns)} AS {SPLIT}",
        *(f"{expression} AS {quote(name)}" for name, expression in label_columns(problem).items()),
        *(f"{_as_read(one, columns, derived) or one.sql} AS {quote(one.ref.column)}" for one in requested),
    ]
    table = tables.relation(examples.table, numbered=True)
    return f"SELECT {', '.join(selected)} FROM {table} WHERE {kept(problem)}"


def _as_read(one: RequestFeature, columns: Mapping[str, str], derived: Container[str]) -> str | None:
    """Return the column alone where it is the feature: a number of its source, which was read without not-a-number.

    It is half of what the engine takes to plan for thousands of features.
    """
    name = one.ref.feature
    as_it_is = one.dtype == "float" and one.expression == quote(name) and name.lower() not in derived
    return one.expression if as_it_is and columns.get(name) == "DOUBLE" else None


def _moments(problem: ProblemSpec) -> Iterator[str]:
    examples = problem.examples
    if examples.timestamp is None:
        return
    moment = quote(examples.timestamp)
    yield f"{moment} AS {TIMESTAMP}"
    yield f"{moment} - to_microseconds({microseconds(examples.lead_time)}) AS {EVENT_TIMESTAMP}"
    yield f"CAST({problem.split.local(moment)} AS DATE) AS {DAY}"
