"""How a file of text is written: encoding, header, marks in numbers, words for nothing; by evidence of all its rows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.authoring.draft import Draft, Undecided
from proml_kedro.authoring.names import in_sql
from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.csv import Dialect
from proml_kedro.features.tables.guess import Guess, Open, guess
from proml_kedro.features.tables.text import PLAIN, Numbers, guesses

_WORDS = (
    "na",
    "n/a",
    "#n/a",
    "null",
    "none",
    "nil",
    "nan",
    "-",
    "--",
    "?",
    ".",
    "missing",
    "unknown",
    "k.a.",
    "(null)",
)
"""What people write where there is nothing, in small letters."""
_MOST_WORDS = 3
_COMMA, _COMMA_DOTS, _DOTS_COMMA = Numbers(",", ""), Numbers(",", "."), Numbers(".", ",")
_DATA = re.compile(r"\s*(?:[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*)\s*")
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"
"""Bytes that mean nothing in cp1252."""


def open_text(draft: Draft, session: Session, folder: Path) -> Relation:
    """Return the rows of a file as they stand there, from a copy that can be read again and again.

    What keeps a file from being read and can be found out is set in the draft: encoding, names, header.

    Args:
        draft: The table.
        session: What reads it.
        folder: Where the copy goes.

    Raises:
        UserError: The file cannot be read.
    """
    for _ in range(5):  # encoding, then header, names and delimiter, each at most once
        try:
            with draft.opened(session, folder) as rows:
                if draft.reader().is_text and "header" not in draft.options and _has_no_header(draft, folder):
                    continue
                copy = folder / f"{draft.name}.text.parquet"
                session.write_parquet(f"SELECT * FROM {rows}", copy)
                return session.parquet(copy)
        except UserError as error:
            if not _mend(draft, error, folder):
                raise
    raise UserError.at(f"problem.tables.{draft.name}.source", f"'{draft.file.name}' cannot be read")


def _mend(draft: Draft, error: UserError, folder: Path) -> bool:
    """Set what an error asks for; tell whether that is worth another attempt."""
    key, message = error.mistakes[0].key.rpartition(".")[2], error.mistakes[0].message
    if key in draft.options:
        return False
    if key == "encoding":
        found = re.search(r"write encoding: ([\w-]+)", message)
        if found is None:
            return False
        name = found[1]
        if name in ("cp1252", "latin-1"):
            name = "latin-1" if any(byte in draft.file.read_bytes() for byte in _UNDEFINED) else "cp1252"
        draft.set(
            "encoding",
            name,
            f"{message.partition(';')[0]}; look whether the letters are right, or name another encoding",
        )
        return True
    if (key == "names" and "twice" in message) or (key == "names" and " and '" in message):
        header = _records(draft, folder)[0]
        seen: dict[str, int] = {}
        names = []
        for position, name in enumerate(header):
            name = name.strip() or f"column{position}"
            seen[name.lower()] = seen.get(name.lower(), 0) + 1
            names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
        draft.set("names", names, "names in the header are not different from each other")
        return True
    return False


def _records(draft: Draft, folder: Path) -> Sequence[Sequence[str]]:
    reader = draft.reader()
    with tempfile.TemporaryDirectory(dir=folder) as own, reader.fetch(draft.origin, Path(own)) as files:
        return Dialect(draft.options.get("delimiter"), draft.options.get("quote", '"')).first_records(files[0])


def _has_no_header(draft: Draft, folder: Path) -> bool:
    """Tell whether the first line is data like all others; the draft then has names."""
    if draft.file.suffix.lower() in (".jsonl", ".ndjson") or "names" in draft.options:
        return False
    first, *rest = _records(draft, folder)
    data = [bool(_DATA.fullmatch(cell)) for cell in first]
    below = [[row[at] for row in rest if at < len(row) and row[at].strip()] for at in range(len(first))]
    all_data = [bool(cells) and all(map(_DATA.fullmatch, cells)) for cells in below]
    years = [int(cell) for cell, one in zip(first, data, strict=True) if one and re.fullmatch(r"\s*\d{4}\s*", cell)]
    is_years = len(years) == sum(data) and years == sorted(set(years))
    if not any(data) or is_years or any(whole and not one for one, whole in zip(data, all_data, strict=True)):
        return False
    draft.set("header", False, "the first line is data like the others")
    draft.options["names"] = [f"c{position + 1}" for position in range(len(first))]
    return True


@dataclass(frozen=True)
class _Found:
    """Columns that are numbers: as they stand, by commas as decimal marks, and by commas between groups."""

    usual: frozenset[str]
    comma: frozenset[str]
    comma_dots: frozenset[str]
    dots_comma: frozenset[str]


def decide_numbers(draft: Draft, rows: Relation) -> None:
    """Set ``null_words``, ``decimal`` and ``thousands`` of a file of text, or repair single columns of it.

    Args:
        draft: The table.
        rows: Its cells.
    """
    names = list(rows.schema)
    bare = _without_words(rows)
    found = _Found(*(_numbers(bare, names, one) for one in (PLAIN, _COMMA, _COMMA_DOTS, _DOTS_COMMA)))
    _decide_words(draft, rows, bare, found)
    _decide_marks(draft, bare, found)


def _without_words(rows: Relation) -> Relation:
    words = ", ".join(map(literal, _WORDS))
    bare = {
        one: f"CASE WHEN lower(trim({quote(one)})) IN ({words}) THEN NULL ELSE {quote(one)} END" for one in rows.schema
    }
    return rows.replace(bare, dict.fromkeys(bare, "VARCHAR"))


def _numbers(rows: Relation, names: Sequence[str], numbers: Numbers) -> frozenset[str]:
    known = guesses(numbers)
    wanted = {name: known[name] for name in ("BIGINT", "DOUBLE")}
    found = guess(rows, {name: Open(wanted) for name in names}, surely=True)
    return frozenset(name for name, one in found.items() if one.reading is not None)


def _typed(rows: Relation, names: Sequence[str]) -> dict[str, Guess]:
    return guess(rows, {name: Open(guesses(PLAIN), formats=True) for name in names}, surely=True)


def _decide_words(draft: Draft, rows: Relation, bare: Relation, found: _Found) -> None:
    """Set the words that stand for nothing in columns that are otherwise numbers, dates or truth values."""
    numbers = found.usual | found.comma_dots | found.dots_comma
    typed = {name for name, one in _typed(bare, list(bare.schema)).items() if one.reading or one.undecided} | numbers
    words = {name: list(_words_in(rows, name)) for name in rows.schema}
    needed = sorted({word for name in typed for word in words[name] if len(words[name]) <= _MOST_WORDS})
    if not needed:
        return
    others = {word for name in words if name not in typed for word in words[name]}
    if others.isdisjoint(needed):
        of = ", ".join(f"'{name}'" for name in sorted(typed) if words[name])
        draft.set("null_words", ["NA", *(one for one in needed if one != "NA")], f"they stand for nothing in {of}")
        return
    for name in sorted(typed):
        for word in words[name]:
            value = draft.columns.get(name, in_sql(name))
            draft.columns[name] = f"nullif({value}, {literal(word)})"
            draft.reasons[f"columns.{name}"] = f"{word!r} stands for nothing here, and for something in other columns"


def _words_in(rows: Relation, name: str) -> Iterator[str]:
    column, words = quote(name), ", ".join(map(literal, _WORDS))
    query = f"SELECT DISTINCT {column} FROM {rows} WHERE lower(trim({column})) IN ({words}) ORDER BY 1 LIMIT 9"
    yield from (word for (word,) in rows.engine.rows(query))


def _decide_marks(draft: Draft, rows: Relation, found: _Found) -> None:
    decimal, groups = found.comma_dots - found.usual, found.dots_comma - found.usual
    if not decimal and not groups:
        return
    either = decimal & groups
    if not decimal - either and not groups - either:
        for name in sorted(either):
            draft.undecided[name] = _both(rows, name)
    elif groups <= either:
        _decide_decimal(draft, found, decimal)
    elif decimal <= either:
        draft.set("thousands", ",", f"commas part groups of digits in {_listed(groups)}")
    else:  # both habits in one file: each column for itself
        for name in sorted(decimal - either):
            _repair(draft, name, found)
        for name in sorted(groups - decimal):
            _derive(draft, name, f"replace({_own(draft, name)}, ',', '')::double", "commas part groups of digits here")
        for name in sorted(either):
            draft.undecided[name] = _both(rows, name)


def _decide_decimal(draft: Draft, found: _Found, decimal: frozenset[str]) -> None:
    """Set the comma as decimal mark of the file, or of single columns where others have points."""
    why = f"commas stand before fractions in {_listed(decimal)}"
    if found.usual | decimal <= found.comma:
        draft.set("decimal", ",", why)
    elif found.usual | decimal <= found.comma_dots:
        draft.set("decimal", ",", why)
        draft.set("thousands", ".", "points part groups of digits, since commas stand before fractions")
    else:
        for name in sorted(decimal):
            _repair(draft, name, found)


def _repair(draft: Draft, name: str, found: _Found) -> None:
    value = _own(draft, name)
    value = value if name in found.comma else f"replace({value}, '.', '')"
    _derive(draft, name, f"replace({value}, ',', '.')::double", "commas stand before fractions here, points elsewhere")


def _own(draft: Draft, name: str) -> str:
    return draft.columns.get(name, in_sql(name))


def _derive(draft: Draft, name: str, expression: str, why: str) -> None:
    draft.columns[name] = expression
    draft.reasons[f"columns.{name}"] = why


def _both(rows: Relation, name: str) -> Undecided:
    query = f"SELECT {quote(name)} FROM {rows} WHERE contains({quote(name)}, ',') LIMIT 1"
    cell = str(rows.engine.row(query)[0]).strip()
    ways = {cell.replace(",", "."): ("decimal", ","), cell.replace(",", ""): ("thousands", ",")}
    return Undecided(cell, ways)


def _listed(names: frozenset[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(f"'{name}'" for name in shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
