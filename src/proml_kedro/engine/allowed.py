"""What SQL of a configuration may call: nothing that reads files or settings, which no fingerprint covers."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "repeat", "repeat_row", "json_each", "json_tree"})
"""Functions after FROM that make rows of their arguments alone."""

ENVIRONMENT = frozenset({"getenv", "getvariable", "current_setting", "which_secret"})
"""Functions of values that read the environment."""

_SUSPECT = re.compile(
    rf"\b(from|table|pivot|unpivot|summarize|describe|show|with|{'|'.join(sorted(ENVIRONMENT))})\b", re.IGNORECASE
)
"""Words without which an expression can read nothing but its columns; most have none, and need not be parsed."""


class Parser(Protocol):
    """What parses SQL: an engine, of which no more is needed."""

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        ...


class NotAllowedError(ValueError):
    """SQL that is none, or that reads what it must not; ``str()`` of it is the end of a message."""


def tables_read(engine: Parser, query: str) -> list[str]:
    """Return the names after FROM in a query, each once, except those that the query defines itself.

    Args:
        engine: What parses it.
        query: One SELECT.

    Raises:
        NotAllowedError: It is not one query, or calls a function that reads files or the environment.
    """
    tree = tree_of(engine, query)
    if tree["error"]:
        raise NotAllowedError(f"is no query: {tree['error_message']}")
    if len(tree["statements"]) != 1:
        raise NotAllowedError(f"holds {len(tree['statements'])} queries, not one")
    nodes = list(_nodes(tree))
    for node in nodes:
        _check_node(node)
    own = {one["key"] for node in nodes for one in (node.get("cte_map") or {}).get("map", ())}
    used = [node["table_name"] for node in nodes if node.get("type") == "BASE_TABLE"]
    # What could be a file is taken for one, whatever the query calls like it.
    return [name for name in dict.fromkeys(used) if name not in own or re.search(r"[./\\:]", name)]


def check_expression(engine: Parser, expression: str, tables: Collection[str] = ()) -> None:
    """Check that an expression reads nothing but its columns, and tables that it may.

    Args:
        engine: What parses it.
        expression: The expression.
        tables: What may stand after FROM, in lower case.

    Raises:
        NotAllowedError: It reads something else.
    """
    if not _SUSPECT.search(expression):
        return
    query = f"SELECT ({expression}\n)"
    if tree_of(engine, query)["error"] and "Only SELECT" not in tree_of(engine, query)["error_message"]:
        return  # whoever runs it says what is wrong, and where
    for name in tables_read(engine, query):
        if name.lower() not in tables:
            raise NotAllowedError(f"reads '{name}', which an expression cannot; join tables in a query")


def tree_of(engine: Parser, query: str) -> dict[str, Any]:
    """Return the syntax tree of a query; under ``error`` it says whether it is none."""
    tree: dict[str, Any] = json.loads(engine.rows("SELECT json_serialize_sql(?)", [query])[0][0])
    return tree


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if kind == "BASE_TABLE" and node.get("schema_name") not in ("", "main"):
        name = ".".join(one for one in (node.get("schema_name"), node["table_name"]) if one)
        raise NotAllowedError(f"reads '{name}'; a query reads tables of the problem, so name the file as a table")
    if kind == "SHOW_REF":
        raise NotAllowedError("describes something; a query reads tables of the problem")
    name = str(node.get("function_name", "")).lower()
    if name in ENVIRONMENT:
        raise NotAllowedError(f"calls {name}(), which reads the environment; results would not follow its changes")
    if kind == "TABLE_FUNCTION":
        called = str(node["function"].get("function_name", "")).lower()
        if called not in TABLE_FUNCTIONS:
            message = f"calls {called}() after FROM; files are read by tables of their own, so that changes are noticed"
            raise NotAllowedError(f"{message}: name the file as source under problem.tables")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for one in tree.values():
            yield from _nodes(one)
    elif isinstance(tree, list):
        for one in tree:
            yield from _nodes(one)
