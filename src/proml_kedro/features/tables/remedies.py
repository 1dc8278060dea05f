"""Lines of YAML that mend cells which cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from proml_kedro.engine.allowed import NotAllowedError, tables_read
from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.features.tables.text import WHOLE

_WORDS = 3
"""How many different words may stand for null before they are taken for something else."""


@dataclass(frozen=True)
class Remedies:
    """Finds the line that mends a column.

    Attributes:
        rows: The source.
        is_text: Whether the reader has the keys ``decimal``, ``thousands`` and ``null_words``.
    """

    rows: Relation
    is_text: bool

    def cells(self, name: str, type_: str, cells: Sequence[str]) -> str:
        """Return what to write for cells that are no values of a type.

        Args:
            name: The column.
            type_: The SQL type.
            cells: Different ones of those that do not fit.
        """
        is_number = WHOLE.fullmatch(type_) or type_.startswith(("DOUBLE", "FLOAT", "DECIMAL"))
        found = self._number(name, type_, cells) if is_number else None
        if found:
            return found
        if type_ == "BOOLEAN" and len(cells) <= _WORDS:
            repair = f"{self._name(name)} = '{cells[0].strip()}'"
            return f'write columns: {{{name}: "{repair}"}} with the word that means true'
        words = [one for one in cells if not re.search(r"\d", one)]
        if len(words) == len(cells) <= _WORDS and self.is_text:
            return f"write null_words: [NA, {', '.join(repr(one) for one in words)}] if these stand for nothing"
        return f"write types: {{{name}: VARCHAR}} and the dtype str, or mend it under columns: {{{name}: …}}"

    def _number(self, name: str, type_: str, cells: Sequence[str]) -> str | None:
        if _all(r"[+-]?\d{1,3}(,\d{3})+", cells):
            groups, fraction = ('thousands: ","', 'decimal: ","') if self.is_text else ("columns", "columns")
            return f"'{cells[0].strip()}' has groups of digits or a fraction: write {groups} or {fraction}"
        if _all(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", cells) and _any(r".*\.\d{3}.*", cells) and self.is_text:
            return 'write decimal: "," and thousands: "."'
        if _all(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", cells) and _any(r".*,\d{3}([,.].*)", cells) and self.is_text:
            return 'write thousands: ","'
        if _all(r"[+-]?\d*,\d+", cells):
            repair = f"columns: {{{name}: \"replace({self._name(name)}, ',', '.')::double\"}}"
            (dots,) = self.rows.engine.row(f"SELECT count(*) FROM {self.rows} WHERE contains({quote(name)}, '.')")
            return (
                f"write {repair}"
                if dots or not self.is_text
                else f'write decimal: "," for all of the file, or {repair}'
            )
        if WHOLE.fullmatch(type_) and _all(r"[+-]?\d*\.\d+", cells):
            repair = f'columns: {{{name}: "round({self._name(name)}::double)"}}'
            return f"integers are never rounded: declare a float, or write {repair}"
        return None

    def moments(self, name: str, formats: Sequence[str], some_are_none: bool) -> str:
        """Return what to write for a column that is a moment, and that no format reads.

        Args:
            name: The column.
            formats: What reads some of its cells, the best first: formats, or ISO 8601.
            some_are_none: Whether there are cells that none of them reads.
        """
        column = self._name(name)
        if not formats:
            return f'write date_format: {{{name}: "%d.%m.%Y %H:%M"}} with the directives that it has'
        tried = [
            f"try_strptime({column}, '{one}')" if "%" in one else f"try_cast({column} as timestamp)" for one in formats
        ]
        both = f"coalesce({', '.join(tried)})" if len(tried) > 1 else tried[0]
        instead = "null_words for what is none, or " if some_are_none and self.is_text else ""
        return f'write {instead}columns: {{{name}: "{both}"}}'

    def _name(self, name: str) -> str:
        """A column in SQL that stands between double quotes of YAML."""
        try:
            tables_read(self.rows.engine, f"SELECT greatest({name}, 1)")
        except NotAllowedError:
            return quote(name).replace('"', '\\"')
        return name


def _all(pattern: str, cells: Sequence[str]) -> bool:
    return all(re.fullmatch(rf"\s*{pattern}\s*", one) for one in cells)


def _any(pattern: str, cells: Sequence[str]) -> bool:
    return any(re.fullmatch(rf"\s*{pattern}\s*", one) for one in cells)
