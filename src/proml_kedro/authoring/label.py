"""What is predicted: which table has the label, which sort of label it is, and what counts as true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proml_kedro.authoring.look import Column, Table
from proml_kedro.authoring.names import in_sql
from proml_kedro.engine.duckdb import is_number, literal, quote
from proml_kedro.errors import Mistake, UserError, unknown

_TRUE = (
    "true",
    "t",
    "yes",
    "y",
    "1",
    "ja",
    "oui",
    "si",
    "positive",
    "pos",
    "churned",
    "bought",
    "won",
    "success",
    "bad",
)
"""Words that mean true, in small letters."""
_CLASSES, _ROWS_OF_A_CLASS = 50, 5
"""Different texts up to which a label is one of several classes, and rows that these have in the mean at least."""
_NAMES = 20
"""Different whole numbers up to which they may be names."""


@dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
        table: The table that has it.
        column: The column.
        task: Sort of label.
        expression: SQL.
        drop_when: SQL for rows without a label; None when all have one.
        why: What decided, for people.
    """

    table: str
    column: str
    task: str
    expression: str
    drop_when: str | None
    why: str


def find_label(tables: Mapping[str, Table], wanted: str) -> Label:
    """Find the label.

    Args:
        tables: The tables by name.
        wanted: ``COLUMN``, ``TABLE.COLUMN``, or either with ``=VALUE`` for what counts as true.

    Raises:
        UserError: There is no such column, or several, or it cannot be a label.
    """
    name, equals, value = wanted.partition("=")
    table, column = _place(tables, name.strip())
    rows, sql = tables[table].rows, in_sql(column.name)
    drop_when = f"{sql} is null" if column.known < tables[table].count else None
    if column.different < 2:
        raise _error(f"'{name}' has {column.different} different values in {table}, and nothing to learn from")
    if column.type == "VARCHAR" and (open_ := tables[table].draft.undecided.get(column.name)):
        ways = " or ".join(open_.ways)
        raise _error(f"'{name}' can be read in several ways ({open_.cell!r} is {ways}); write the file in one way")
    if equals:
        expression = f"{sql} = {_constant(column, value.strip())}"
        (true,) = rows.engine.row(f"SELECT count(*) FILTER ({expression}) FROM {rows}")
        if not true:
            raise _error(f"no row of {table} has {name} = {value.strip()}")
        return Label(table, column.name, "binary", expression, drop_when, f"--label {wanted}")
    if column.type == "BOOLEAN":
        return Label(table, column.name, "binary", sql, drop_when, "a truth value")
    if column.different == 2:
        return Label(table, column.name, "binary", *_of_two(tables[table], column, drop_when))
    if is_number(column.type):
        may_count = column.dtype == "int" and column.least >= 0
        why = "a number" + ("; write task: count if it says how often something happened" if may_count else "")
        if may_count and column.different <= _NAMES:
            why += ", or task: multiclass if it names classes"
        return Label(table, column.name, "regression", sql, drop_when, why)
    if column.is_moment or column.type != "VARCHAR":
        raise _error(f"'{name}' is {column.type}, which is no label; name a number, or a column of two values")
    return Label(table, column.name, "multiclass", sql, drop_when, _of_texts(name, column, tables[table]))


def _place(tables: Mapping[str, Table], name: str) -> tuple[str, Column]:
    found = [(table, column) for table, one in tables.items() if (column := one.find(name))]
    if not found and "." in name:
        table, _, inside = name.partition(".")
        if table in tables and (column := tables[table].find(inside)):
            return table, column
    if not found:
        known = [*tables] if len(tables) > 1 and "." in name else []
        raise _error(unknown("column", name, [*(one for table in tables.values() for one in table.columns), *known]))
    if len(found) > 1:
        named = " or ".join(f"--label {table}.{column.name}" for table, column in found)
        raise _error(f"{len(found)} tables have a column '{name}'; write {named}")
    return found[0]


def _of_two(table: Table, column: Column, drop_when: str | None) -> tuple[str, str | None, str]:
    """Expression, condition and reason for a column of two values: the one that means true, or the rarer one."""
    name = quote(column.name)
    counts = dict(
        table.rows.engine.rows(f"SELECT {name}, count(*) FROM {table.rows} WHERE {name} IS NOT NULL GROUP BY 1")
    )
    words = [one for one in counts if str(one).strip().lower() in _TRUE or one == 1]
    if len(words) == 1:
        true, why = words[0], "which means true"
    else:
        true = min(counts, key=lambda one: (counts[one], str(one)))
        why = "the rarer of the two"
    other = next(one for one in counts if one != true)
    expression = f"{in_sql(column.name)} = {_constant(column, true)}"
    return expression, drop_when, f"{true!r} ({why}; {counts[true]:,} rows) against {other!r} ({counts[other]:,} rows)"


def _of_texts(label: str, column: Column, table: Table) -> str:
    """What the classes are, in words: the three most frequent ones and the rarest one.

    Raises:
        UserError: There are too many texts for classes.
    """
    name = quote(column.name)
    counts = table.rows.engine.rows(
        f"SELECT {name}, count(*) FROM {table.rows} WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
    )
    if column.different > _CLASSES or column.known < _ROWS_OF_A_CLASS * column.different:
        wanted = " or ".join(f"--label {label}='{one}'" for one, _ in counts[:3])
        raise _error(
            f"'{label}' has {column.different:,} different texts; say which of them is to be predicted: {wanted}"
        )
    shown = [f"{name!r} ({count:,} rows)" for name, count in counts]
    rest = [f"{len(shown) - 4:,} more"] if len(shown) > 4 else []
    return f"one of {len(shown)} classes: {', '.join([*shown[:3], *rest, *shown[3:][-1:]])}"


def _constant(column: Column, value: Any) -> str:
    if column.type == "VARCHAR":
        return literal(str(value))
    if not is_number(column.type):
        return literal(str(value))
    try:
        float(value)
    except ValueError:
        raise _error(f"'{column.name}' holds numbers, and {value!r} is none") from None
    return str(value)


def _error(message: str) -> UserError:
    return UserError(Mistake("", message))
