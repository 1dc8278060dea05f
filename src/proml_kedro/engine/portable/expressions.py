"""Expressions of users as SQL that DuckDB, Sail and Spark compute alike; what they would not is refused by name.

An expression is parsed by DuckDB, and what is on a short list is written anew, in brackets: no engine's own grammar,
order of operators, names in quotes or implicit conversion has a say in what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from proml_kedro.engine.allowed import Parser, tree_of
from proml_kedro.engine.portable.functions import call
from proml_kedro.engine.portable.values import (
    MOST,
    WORDS,
    Column,
    Kind,
    NotPortableError,
    Part,
    alike,
    compare,
    convert,
    truth,
)

_DIGITS = 15
"""Of a constant with a point: as many as every way from text to double precision agrees on."""

_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}

_CASTS: Mapping[str, Kind] = {
    **dict.fromkeys(("DOUBLE", "FLOAT8"), "number"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT"), "whole"),
    **dict.fromkeys(("BOOLEAN", "BOOL"), "truth"),
    **dict.fromkeys(("VARCHAR", "TEXT", "STRING"), "text"),
}
_BITS = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "INT": 31}


def columns_read(engine: Parser, expression: str) -> set[str]:
    """Return the columns that an expression names, in lower case, as far as it can be parsed.

    Args:
        engine: What parses it.
        expression: The expression.
    """
    found: set[str] = set()
    waiting: list[Any] = [tree_of(engine, f"SELECT ({expression}\n)")]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                found.add(node["column_names"][-1].lower())
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def portable(engine: Parser, expression: str, columns: Mapping[str, Column]) -> Part:
    """Write an expression anew.

    Args:
        engine: What parses it.
        expression: An expression that DuckDB computes.
        columns: The columns that it may name, by their names in lower case.

    Raises:
        NotPortableError: Something in it is not on the list.
    """
    tree = tree_of(engine, f"SELECT ({expression}\n)")
    if tree["error"]:
        raise NotPortableError(f"is no expression: {tree['error_message']}")
    return _Writer(columns).write(tree["statements"][0]["node"]["select_list"][0])


class _Writer:
    """Writer of the nodes of DuckDB's syntax tree.

    Args:
        columns: The columns that may be named, by their names in lower case.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._ways = {
            "COLUMN_REF": self._column,
            "CONSTANT": _constant,
            "COMPARISON": self._comparison,
            "CONJUNCTION": self._conjunction,
            "BETWEEN": self._between,
            "OPERATOR": self._operator,
            "CASE": self._case,
            "CAST": self._cast,
            "FUNCTION": self._function,
        }

    def write(self, node: dict[str, Any]) -> Part:
        """Write a node and all below it.

        Raises:
            NotPortableError: It is not on the list.
        """
        way = self._ways.get(node["class"])
        if way is None:
            raise NotPortableError(f"has {_called(node['class'])}, which is not carried")
        return way(node)

    def _column(self, node: dict[str, Any]) -> Part:
        name = ".".join(node["column_names"])
        column = self._columns.get(name.lower())
        if column is None or column.kind == "other" or len(node["column_names"]) > 1:
            raise NotPortableError(f"reads '{name}', whose type is not carried")
        return Part(column.name, column.kind, column.most)

    def _comparison(self, node: dict[str, Any]) -> Part:
        if node["type"] not in _COMPARISONS:
            raise NotPortableError(f"has {_called(node['type'])}, which is not carried")
        return compare(_COMPARISONS[node["type"]], self.write(node["left"]), self.write(node["right"]))

    def _conjunction(self, node: dict[str, Any]) -> Part:
        word = " AND " if node["type"] == "CONJUNCTION_AND" else " OR "
        return truth(word.join(self._condition(one) for one in node["children"]))

    def _condition(self, node: dict[str, Any]) -> str:
        part = self.write(node)
        if part.kind not in ("truth", "null"):
            raise NotPortableError(f"takes {WORDS[part.kind]} for a condition; compare with something")
        return convert(part, "truth").sql

    def _between(self, node: dict[str, Any]) -> Part:
        value, low, high = (self.write(node[one]) for one in ("input", "lower", "upper"))
        return truth(f"{compare('>=', value, low).sql} AND {compare('<=', value, high).sql}")

    def _operator(self, node: dict[str, Any]) -> Part:
        children, kind = node["children"], node["type"]
        if kind == "OPERATOR_NOT":
            return truth(f"NOT {self._condition(children[0])}")
        if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
            return truth(f"{self.write(children[0]).sql} IS {'NOT ' if 'NOT' in kind else ''}NULL")
        if kind == "COMPARE_IN":
            value, *listed = map(self.write, children)
            return truth(" OR ".join(compare("=", value, one).sql for one in listed))
        if kind == "OPERATOR_COALESCE":
            parts = alike([self.write(one) for one in children])
            return Part(f"coalesce({', '.join(one.sql for one in parts)})", parts[0].kind, _most(parts))
        raise NotPortableError(f"has {_called(kind)}, which is not carried")

    def _case(self, node: dict[str, Any]) -> Part:
        checks = node["case_checks"]
        conditions = [self._condition(one["when_expr"]) for one in checks]
        *results, last = alike([self.write(one) for one in (*(one["then_expr"] for one in checks), node["else_expr"])])
        whens = " ".join(f"WHEN {one} THEN {two.sql}" for one, two in zip(conditions, results, strict=True))
        return Part(f"(CASE {whens} ELSE {last.sql} END)", last.kind, _most([*results, last]))

    def _cast(self, node: dict[str, Any]) -> Part:
        type_, part = node["type_expr"].get("type_name", "").upper(), self.write(node["child"])
        if node.get("try_cast") or type_ not in _CASTS:
            raise NotPortableError(f"casts to {type_}, which is not carried")
        made = convert(part, _CASTS[type_])
        if made.most >= 2 ** _BITS.get(type_, 64):
            raise NotPortableError(f"casts to {type_} what may have more bits; write BIGINT")
        return made

    def _function(self, node: dict[str, Any]) -> Part:
        name = node["function_name"].lower()
        if any(node.get(one) for one in ("filter", "distinct", "export_state")):
            raise NotPortableError(f"calls {name} as an aggregate, which is not carried")
        return call(name, [self.write(one["expression"]) for one in node["arguments"]])


def _most(parts: list[Part]) -> int:
    return max(one.most for one in parts)


def _called(node: str) -> str:
    return node.lower().removeprefix("operator_").removeprefix("compare_").replace("_", " ")


def _constant(node: dict[str, Any]) -> Part:
    kind, text = node["literal"]["kind"], node["literal"].get("text", "")
    if kind == "NULL_LITERAL":
        return Part("NULL", "null", 0)
    if kind == "BOOLEAN":
        return Part(text, "truth")
    if kind == "INTEGER" and int(text) <= MOST:
        return Part(f"CAST({text} AS BIGINT)", "whole", int(text), float(text), nonzero=int(text) != 0)
    if kind == "NUMERIC" and sum(map(str.isdigit, text)) <= _DIGITS and isfinite(float(text)):
        value = float(text)
        return Part(double(value), "number" if "e" in text.lower() else "decimal", 0, value, nonzero=value != 0)
    if kind == "STRING" and not re.search(r"\\|\$\{", text):  # Spark reads escapes, and replaces ${NAME}
        return Part("'" + text.replace("'", "''") + "'", "text")
    raise NotPortableError(f"has the constant {text}, which is not carried")


def double(value: float) -> str:
    """Return a finite number as a constant of double precision.

    >>> double(0.5), double(1e300), double(-3.0)
    ('0.5e0', '1e+300', '-3.0e0')
    """
    text = repr(value)
    return text if "e" in text else f"{text}e0"
