"""``tables``: how the sources of a problem were read, and what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from proml_kedro.results.json_file import JsonFile

KeyForm = Literal["whole", "decimal", "number", "text"]
"""Form of a key in one table: whole numbers; whole numbers written ``1.0``; numbers, some with a fraction; or text."""


@dataclass(frozen=True)
class ColumnFacts:
    """A column of a source.

    Attributes:
        type: SQL type of its values.
        why: What decided.
        undecided: Formats that all read it, to different moments, so that it stays text.
        format: Format of its dates, declared or found, where it was read by one.
    """

    type: str
    why: str
    undecided: tuple[str, ...] = ()
    format: str = ""


@dataclass(frozen=True)
class KeyFacts:
    """The key of an entity, which has one type in all tables.

    Attributes:
        type: ``BIGINT`` or ``VARCHAR``.
        forms: Table → what the key looks like there.
        without_zeros: Whether ``1.0`` is taken as ``1`` in text, since a table has it as a number.
    """

    type: str
    forms: Mapping[str, KeyForm]
    without_zeros: bool = False


@dataclass(frozen=True, kw_only=True)
class TablesFacts(JsonFile):
    """``tables.json``.

    Attributes:
        rows: Table → how many rows it has.
        columns: Table → column of its source → how it was read. A query has none.
        keys: Entity → its key.
        warnings: What is odd, one line each.
        local: Table → its columns, derived ones among them, with moments that have no time zone.
    """

    FILE = "tables.json"
    INDENT = 2

    rows: Mapping[str, int]
    columns: Mapping[str, Mapping[str, ColumnFacts]] = field(default_factory=dict)
    keys: Mapping[str, KeyFacts] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    local: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
