"""The examples' own columns in their table: whether they exist, and whether their timestamp is one."""

from __future__ import annotations

from collections.abc import Mapping

from proml_kedro.engine.duckdb import is_moment, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.spec.problem import ExamplesSpec


def check_examples(examples: ExamplesSpec, columns: Mapping[str, str], rows: Relation, key: str) -> None:
    """Check the columns that the problem names.

    Args:
        examples: What the problem says of them.
        columns: Types of the columns of their table.
        rows: Its rows, read only to say what is wrong.
        key: Where the table stands in the configuration.

    Raises:
        UserError: A column is not there, or the timestamp is none.
    """
    lower = {name.lower(): type_ for name, type_ in columns.items()}
    mistakes = [
        Mistake(f"problem.examples.entities.{position}", unknown("column", name, columns))
        for position, name in enumerate(examples.entities)
        if name.lower() not in lower
    ]
    type_ = lower.get(examples.timestamp.lower()) if examples.timestamp else None
    if examples.timestamp is None:
        pass  # a plain table
    elif type_ is None:
        mistakes.append(Mistake("problem.examples.timestamp", unknown("column", examples.timestamp, columns)))
    elif not is_moment(type_):
        mistakes.append(Mistake("problem.examples.timestamp", _not_a_moment(examples.timestamp, type_, rows, key)))
    if mistakes:
        raise UserError(*mistakes)


def _not_a_moment(column: str, type_: str, rows: Relation, key: str) -> str:
    if type_ == "VARCHAR":
        return f"'{column}' is text; cast it under {key}.columns, for example with try_strptime({column}, '%d/%m/%Y')"
    message = f"'{column}' is {type_}, not a timestamp; "
    if type_ == "BIGINT" and _are_days(column, rows):
        return message + f'its numbers look like 20240131: write date_format: {{{column}: "%Y%m%d"}} and reader: csv'
    return message + f"derive one under {key}.columns, for example with to_timestamp({column})"


def _are_days(column: str, rows: Relation) -> bool:
    low, high = rows.engine.row(f"SELECT min({quote(column)}), max({quote(column)}) FROM {rows}")
    return low is not None and low >= 19000101 and high <= 21001231
