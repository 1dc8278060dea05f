"""Cells that cannot be read: counted for every column at once, with samples and the line of YAML that mends them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake
from proml_kedro.features.tables.columns import Column
from proml_kedro.features.tables.dates import reading_in
from proml_kedro.features.tables.text import MOMENTS, WHOLE

_SHOWN = 3
_WORDS = 3
"""How many different words may stand for null before it is taken for something else."""
_GROUPED = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*")


@dataclass(frozen=True)
class Dirty:
    """Finds cells that cannot be read.

    Attributes:
        key: Where the table stands in the configuration.
        rows: The source, text as text.
        is_text: Whether the reader has the keys ``decimal``, ``thousands`` and ``null_words``.
    """

    key: str
    rows: Relation
    is_text: bool

    def cells(self, columns: Mapping[str, Column]) -> Iterator[Mistake]:
        """Find columns with cells that do not fit what was decided, without any guess.

        Args:
            columns: How each column is read.
        """
        given = self.rows.schema
        checked = {name: cond for name, one in columns.items() if (cond := one.condition(name, given[name]))}
        if not checked:
            return
        parts = (f"count({quote(name)}), count(*) FILTER (NOT {one})" for name, one in checked.items())
        counts = self.rows.engine.row(f"SELECT {', '.join(parts)} FROM {self.rows}")
        for position, (name, condition) in enumerate(checked.items()):
            cells, bad = counts[2 * position : 2 * position + 2]
            if bad:
                one = columns[name]
                message = f"{bad:,} of {cells:,} cells of '{name}' are no {one.called} ({one.why})"
                remedy = self._remedy(name, one, condition)
                yield Mistake(self._place(one, name), f"{message}: {self._samples(name, f'NOT {condition}')}; {remedy}")

    def moments(self, columns: Mapping[str, Column], used: Collection[str]) -> Iterator[Mistake]:
        """Find columns that are read as moments and are none, or two.

        Args:
            columns: How each column is read.
            used: Columns that the problem or its features use.
        """
        for name, one in columns.items():
            if one.undecided and (one.moment or name in used):
                yield self._ambiguous(name, one)
            elif one.moment and one.reading and one.reading.type == "VARCHAR" and self._has_cells(name):
                yield self._no_moment(name, one)

    def _has_cells(self, name: str) -> bool:
        return bool(self.rows.engine.row(f"SELECT count({quote(name)}) FROM {self.rows}")[0])

    def _ambiguous(self, name: str, column: Column) -> Mistake:
        first, second = (reading_in(one) for one in column.undecided[:2])
        values = [one.lenient_sql(quote(name)) for one in (first, second)]
        cell, one, two, row = self.rows.engine.row(
            f"SELECT {quote(name)}, {values[0]}::VARCHAR, {values[1]}::VARCHAR, __row FROM {self._numbered} "
            f"WHERE {values[0]} IS DISTINCT FROM {values[1]} ORDER BY __row LIMIT 1"
        )
        formats = ", ".join(column.undecided)
        lines = " or ".join(f'date_format: {{{name}: "{format_}"}}' for format_ in column.undecided)
        message = (
            f"every cell of '{name}' can be read in {len(column.undecided)} ways, {formats}: "
            f"'{_short(cell)}' (row {row:,}) is {one} or {two}; write {lines}"
        )
        return Mistake(f"{self.key}.date_format.{name}", message)

    def _no_moment(self, name: str, column: Column) -> Mistake:
        column_, formats = quote(name), [one for one in column.formats if "%" in one]
        ways = {"ISO 8601": MOMENTS["TIMESTAMP WITH TIME ZONE"], **{one: reading_in(one) for one in formats}}
        counts = ", ".join(f"count({one.lenient_sql(column_)})" for one in ways.values())
        none = " AND ".join(f"NOT {one.condition(column_)}" for one in ways.values())
        total, bad, *read = self.rows.engine.row(
            f"SELECT count({column_}), count(*) FILTER ({none}), {counts} FROM {self.rows}"
        )
        # The same dates as in ISO 8601 with fewer digits are no other way to write them.
        read = [0 if "%Y-%m-%d" in way and count <= read[0] else count for way, count in zip(ways, read, strict=True)]
        seen = dict(sorted(((way, one) for way, one in zip(ways, read, strict=True) if one), key=lambda one: -one[1]))
        parts = [f"{count:,} {way}" for way, count in list(seen.items())[:3]]
        parts += [f"{bad:,} none of these: {self._samples(name, none)}"] if bad else []
        message = f"'{name}' is a moment ({column.moment}), and no format reads its {total:,} cells: {', '.join(parts)}"
        return Mistake(f"{self.key}.types.{name}", f"{message}; {_moment_remedy(name, list(seen), bool(bad))}")

    def _place(self, column: Column, name: str) -> str:
        part = "date_format" if column.why.endswith("date_format") else "types"
        return f"{self.key}.{part}.{name}"

    @property
    def _numbered(self) -> str:
        return f"(SELECT *, row_number() OVER () AS __row FROM {self.rows})"

    def _samples(self, name: str, condition: str) -> str:
        query = f"SELECT {quote(name)}, __row FROM {self._numbered} WHERE {condition} ORDER BY __row LIMIT {_SHOWN}"
        return ", ".join(f"'{_short(cell)}' (row {row:,})" for cell, row in self.rows.engine.rows(query))

    def _remedy(self, name: str, column: Column, condition: str) -> str:
        query = f"SELECT DISTINCT {quote(name)}::VARCHAR FROM {self.rows} WHERE NOT {condition} LIMIT 1000"
        cells = [one for (one,) in self.rows.engine.rows(query)]
        if column.called.startswith(("whole numbers", "numbers")):
            found = self._number_remedy(name, column.type, cells)
            if found:
                return found
        words = [one for one in cells if not re.search(r"\d", one)]
        if len(words) == len(cells) <= _WORDS and self.is_text:
            return f"write null_words: [NA, {', '.join(repr(one) for one in words)}] if these stand for nothing"
        return f"write types: {{{name}: VARCHAR}} and the dtype str, or mend it under columns: {{{name}: …}}"

    def _number_remedy(self, name: str, type_: str, cells: Sequence[str]) -> str | None:
        if all(_GROUPED.fullmatch(one) for one in cells):
            groups, fraction = ('thousands: ","', 'decimal: ","') if self.is_text else ("columns", "columns")
            return f"'{_short(cells[0])}' has groups of digits or a fraction: write {groups} or {fraction}"
        if all(re.fullmatch(r"\s*[+-]?\d{1,3}(\.\d{3})+,\d+\s*", one) for one in cells) and self.is_text:
            return 'write decimal: "," and thousands: "."'
        if all(re.fullmatch(r"\s*[+-]?\d*,\d+\s*", one) for one in cells):
            column = quote(name)
            dots = self.rows.engine.row(f"SELECT count(*) FROM {self.rows} WHERE contains({column}, '.')")[0]
            repair = f"columns: {{{name}: \"replace({name}, ',', '.')::double\"}}"
            return (
                f"write {repair}"
                if dots or not self.is_text
                else f'write decimal: "," for all of the file, or {repair}'
            )
        if WHOLE.fullmatch(type_) and all(re.fullmatch(r"\s*[+-]?\d*\.\d+\s*", one) for one in cells):
            return f'integers are never rounded: declare a float, or write columns: {{{name}: "round({name}::double)"}}'
        return None


def _moment_remedy(name: str, formats: Sequence[str], some_are_none: bool) -> str:
    if not formats:
        return f'write date_format: {{{name}: "%d.%m.%Y %H:%M"}} with the directives that it has'
    if len(formats) == 1 and some_are_none:
        return f"write null_words for what is no date, or columns: {{{name}: try_cast({name} as timestamptz)}}"
    iso = f"try_cast({name} as timestamp)"
    tried = ", ".join(f"try_strptime({name}, '{one}')" if "%" in one else iso for one in formats[:3])
    return f'write columns: {{{name}: "coalesce({tried})"}}'


def _short(cell: object) -> str:
    cell = str(cell)
    text = cell if len(cell) <= 40 else f"{cell[:39]}…"
    return "".join(one if one.isprintable() else "�" for one in text)
