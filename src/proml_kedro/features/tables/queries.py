"""Tables that are queries over other tables: which they read, and in which order they can be made."""

from __future__ import annotations

from collections.abc import Mapping

from proml_kedro.engine.allowed import tables_read
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.spec.order import CircleError, in_order
from proml_kedro.spec.problem import TableSpec


def reading_order(session: Session, tables: Mapping[str, TableSpec]) -> dict[str, list[str]]:
    """Return the tables, each after those that its query reads, with the names of these.

    Args:
        session: What parses queries.
        tables: The problem's tables.

    Raises:
        UserError: A query is none, reads a table that is not declared, or reads itself in the end.
    """
    reads: dict[str, list[str]] = {}
    mistakes = []
    for name, table in tables.items():
        try:
            reads[name] = [_declared(one, tables) for one in tables_read(session, table.query)] if table.query else []
        except ValueError as error:
            mistakes.append(Mistake(f"problem.tables.{name}.query", str(error)))
    if mistakes:
        raise UserError(*mistakes)
    try:
        order = in_order(reads)
    except CircleError as error:
        message = f"reads itself: {' -> '.join(error.path)}"
        raise UserError.at(f"problem.tables.{error.path[0]}.query", message) from error
    return {name: reads[name] for name in order}


def _declared(name: str, tables: Mapping[str, TableSpec]) -> str:
    found = {one.lower(): one for one in tables}.get(name.lower())
    if found is None:
        raise ValueError(f"{unknown('table', name, tables).rstrip()} Files are declared as tables of their own.")
    return found
