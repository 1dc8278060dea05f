"""Tables that are queries over other tables: which they read, and in which order they can be made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

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
            reads[name] = [_declared(one, tables) for one in _tables_of(session, table.query)] if table.query else []
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


def _tables_of(session: Session, query: str) -> list[str]:
    """The names after FROM, except those that the query defines itself.

    Raises:
        ValueError: It is not one query.
    """
    text = session.rows("SELECT json_serialize_sql(?)", [query])[0][0]
    tree = json.loads(text)
    if tree["error"]:
        raise ValueError(f"is no query: {tree['error_message']}")
    if len(tree["statements"]) != 1:
        raise ValueError(f"holds {len(tree['statements'])} queries, not one")
    own = {one["key"] for node in _nodes(tree) for one in (node.get("cte_map") or {}).get("map", ())}
    used = [node["table_name"] for node in _nodes(tree) if node.get("type") == "BASE_TABLE"]
    return [name for name in dict.fromkeys(used) if name not in own]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for one in tree.values():
            yield from _nodes(one)
    elif isinstance(tree, list):
        for one in tree:
            yield from _nodes(one)
