"""Cells that cannot be read: counted for every column at once, with samples and the line of YAML that mends them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake
from proml_kedro.features.tables.columns import Column
from proml_kedro.features.tables.dates import reading_in
from proml_kedro.features.tables.remedies import Remedies
from proml_kedro.features.tables.text import MOMENTS, Reading

_SHOWN = 3


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
                message = f"{bad:,} of {cells:,} cells of '{name}' are {_are_no(one.called)} ({one.why})"
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
        formats = [one for one in column.formats if "%" in one and "%Y-%m-%d" not in one]
        ways = {"ISO 8601": MOMENTS["TIMESTAMP WITH TIME ZONE"], **{one: reading_in(one) for one in formats}}
        (total,) = self.rows.engine.row(f"SELECT count({quote(name)}) FROM {self.rows}")
        seen, rest = self._seen(name, ways)
        (bad,) = self.rows.engine.row(f"SELECT count(*) FROM {self.rows} WHERE {rest}")
        parts = [f"{count:,} {way}" for way, count in seen.items()]
        parts += [f"{bad:,} none of these: {self._samples(name, rest)}"] if bad else []
        remedy = Remedies(self.rows, self.is_text).moments(name, list(seen), bool(bad))
        message = f"'{name}' is a moment ({column.moment}), and no format reads its {total:,} cells: {', '.join(parts)}"
        return Mistake(f"{self.key}.types.{name}", f"{message}; {remedy}")

    def _seen(self, name: str, ways: Mapping[str, Reading]) -> tuple[dict[str, int], str]:
        """How many cells the best ways read, of those that better ones leave; and the condition for what is left."""
        seen: dict[str, int] = {}
        rest = f"{quote(name)} IS NOT NULL"
        while len(seen) < _SHOWN:
            counts = ", ".join(f"count({one.lenient_sql(quote(name))})" for one in ways.values())
            read = self.rows.engine.row(f"SELECT {counts} FROM {self.rows} WHERE {rest}")
            best, count = max(zip(ways, read, strict=True), key=lambda one: int(one[1]))
            if not count:
                break
            seen[best] = count
            rest += f" AND NOT {ways[best].condition(quote(name))}"
        return seen, rest

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
        return Remedies(self.rows, self.is_text).cells(name, column.type, cells)


def _are_no(called: str) -> str:
    return f"not {called}" if called.startswith("of ") else f"no {called}"


def _short(cell: object) -> str:
    cell = str(cell)
    text = cell if len(cell) <= 40 else f"{cell[:39]}…"
    return "".join(one if one.isprintable() else "�" for one in text)
