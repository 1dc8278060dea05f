"""Parts of portable expressions: what their values are, and how they become alike.

Engines differ in what they do with values of different sorts side by side, so nothing is left to them: whole numbers
have 64 bits and cannot overflow, constants with a point are no decimals, minus zero is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["whole", "number", "single", "decimal", "truth", "text", "null", "other"]
"""What values are: whole numbers, of double or single precision, constants with a point, truth values, texts, …"""

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "whole"),
    **{"DOUBLE": "number", "FLOAT": "single", "BOOLEAN": "truth", "VARCHAR": "text"},
}
"""SQL type of a column → what its values are; those of all other types are ``other``."""

TYPES: Mapping[Kind, str] = {
    "whole": "BIGINT",
    "number": "DOUBLE",
    "single": "DOUBLE",
    "truth": "BOOLEAN",
    "text": "STRING",
}
"""The type in which an engine gets values."""

MOST = 2**63 - 1
"""The largest whole number."""

WORDS: Mapping[Kind, str] = {
    "whole": "whole numbers",
    "number": "numbers",
    "single": "numbers of 32 bits",
    "decimal": "decimal constants",
    "truth": "truth values",
    "text": "text",
    "null": "null",
    "other": "a type that is not carried",
}


class NotPortableError(ValueError):
    """An expression that engines would compute differently; ``str()`` of it is the end of a message."""


@dataclass(frozen=True)
class Column:
    """A column that expressions may name.

    Attributes:
        name: What it is called on the engine.
        kind: What its values are.
        most: Size of the largest one, if they are whole numbers.
    """

    name: str
    kind: Kind
    most: int = MOST


@dataclass(frozen=True)
class Part:
    """A part of an expression, as it is given to an engine.

    Attributes:
        sql: Its text.
        kind: What its values are.
        most: Size of the largest one, if they are whole numbers.
        constant: The number that it is, if it is one.
        nonzero: Whether it cannot be 0.
    """

    sql: str
    kind: Kind
    most: int = MOST
    constant: float | None = None
    nonzero: bool = False


def truth(sql: str) -> Part:
    """Return a condition as a part."""
    return Part(f"({sql})", "truth")


def convert(part: Part, kind: Kind) -> Part:
    """Return values as values of another kind.

    Raises:
        NotPortableError: Engines convert them differently.
    """
    if part.kind == kind:
        return part
    if part.kind == "null" and kind in TYPES:
        return Part(f"CAST(NULL AS {TYPES[kind]})", kind, 0)
    if kind == "number" and part.kind in ("single", "whole", "decimal", "truth"):
        inner = f"CAST({part.sql} AS BIGINT)" if part.kind == "truth" else part.sql
        return Part(f"CAST({inner} AS DOUBLE)", "number", constant=part.constant, nonzero=part.nonzero)
    if kind == "whole" and part.kind == "truth":
        return Part(f"CAST({part.sql} AS BIGINT)", "whole", 1)
    if kind == "truth" and part.kind == "whole":
        return truth(f"{part.sql} <> CAST(0 AS BIGINT)")
    if kind == "text" and part.kind in ("whole", "truth"):
        return Part(f"CAST({part.sql} AS STRING)", "text")
    raise NotPortableError(f"makes {WORDS[kind]} of {WORDS[part.kind]}, which engines do differently")


def alike(parts: Sequence[Part]) -> list[Part]:
    """Return parts as values of one kind: whole numbers or decimal constants beside numbers become such.

    Raises:
        NotPortableError: They cannot stand side by side.
    """
    kinds = {one.kind for one in parts} - {"null"}
    if kinds in ({"whole", "number"}, {"decimal", "number"}, {"whole", "decimal", "number"}):
        kinds = {"number"}
    if len(kinds) != 1 or kinds & {"single", "other"}:
        words = " beside ".join(sorted(WORDS[one] for one in kinds)) or "nothing but null"
        raise NotPortableError(f"has {words}, which engines treat differently; cast them, as in CAST(… AS DOUBLE)")
    (kind,) = kinds
    return [convert(one, "number" if kind == "decimal" and one.kind == "null" else kind) for one in parts]


def compare(sign: str, first: Part, second: Part) -> Part:
    """Return a comparison.

    Raises:
        NotPortableError: The values cannot be compared everywhere alike.
    """
    left, right = alike([first, second])
    return truth(f"{_positive_zero(left)} {sign} {_positive_zero(right)}")


def _positive_zero(part: Part) -> str:
    """To some engines minus zero is less than zero."""
    return f"({part.sql} + 0e0)" if part.kind == "number" and part.constant is None else part.sql
