"""Columns that hold dates and moments: which format they have, or which formats they may have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.authoring.draft import Draft, Undecided
from proml_kedro.authoring.names import in_sql
from proml_kedro.engine.duckdb import is_moment, literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.features.tables.dates import candidates, reading_in
from proml_kedro.features.tables.guess import Guess, Open, guess
from proml_kedro.features.tables.text import MOMENTS, Reading, guesses

_MOST_SHAPES = 8
"""Forms that the dates of one column have, at most."""
_ISO = "ISO 8601"
_NAMED = re.compile(r"date|time|day|datum|moment|timestamp|_ts$|^ts$|_at$|^at$|created|updated", re.IGNORECASE)
_DIGITS = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}


def decide_moments(draft: Draft, rows: Relation, is_text: bool) -> None:
    """Set formats of dates that one format alone reads, and note those that several read.

    Args:
        draft: The table.
        rows: Its rows, before anything is cast.
        is_text: Whether the reader leaves all types to be guessed.
    """
    repaired = {
        name for name in rows.schema if draft.columns.get(draft.names.get(name, name), in_sql(name)) != in_sql(name)
    }
    settled = {*repaired, *draft.types}
    texts = [name for name, type_ in rows.schema.items() if type_ == "VARCHAR" and name not in settled]
    numbers = draft.reader().numbers()
    readings = guesses(numbers) if is_text else MOMENTS
    for name, one in guess(rows, {name: Open(readings, formats=True) for name in texts}, surely=True).items():
        if one.undecided:
            draft.undecided[name] = _undecided(rows, name, one.undecided)
        elif one.reading is None:
            _decide_mixed(draft, rows, name)
        elif one.reading.format:
            _decided(draft, name, one)
        elif is_moment(one.reading.type) and not is_text:
            draft.types[name] = one.reading.type
        elif one.reading.type == "BIGINT" and _NAMED.search(name):
            _decide_digits(draft, rows, name)


def _decided(draft: Draft, name: str, found: Guess) -> None:
    assert found.reading is not None  # noqa: S101 for mypy
    draft.date_format[name] = found.reading.format
    draft.reasons[f"date_format.{name}"] = "no other format reads every cell"


def _undecided(rows: Relation, name: str, formats: Sequence[str]) -> Undecided:
    first, second = (reading_in(one).lenient_sql(quote(name)) for one in formats[:2])
    cell, one, two = rows.engine.row(
        f"SELECT {quote(name)}, {first}::VARCHAR, {second}::VARCHAR FROM {rows} WHERE {first} IS DISTINCT FROM {second}"
    )
    return Undecided(str(cell), {one: ("date_format", formats[0]), two: ("date_format", formats[1])}, is_moment=True)


def _decide_digits(draft: Draft, rows: Relation, name: str) -> None:
    """Set the format of dates that are written as nothing but digits."""
    column = f"trim({quote(name)})"
    least, most = rows.engine.row(f"SELECT min(strlen({column})), max(strlen({column})) FROM {rows}")
    if least != most or most not in _DIGITS:
        return
    reading = reading_in(_DIGITS[most])
    years = f"CAST(left({column}, 4) AS INTEGER) BETWEEN 1900 AND 2100"
    (bad,) = rows.engine.row(f"SELECT count(*) FILTER (NOT ({reading.condition(quote(name))} AND {years})) FROM {rows}")
    if not bad:
        draft.date_format[name] = reading.format
        draft.reasons[f"date_format.{name}"] = "every cell is a date in digits"


@dataclass(frozen=True)
class _Shape:
    """Form of some cells of a column, and the ways that read all of these."""

    condition: str
    ways: Mapping[str, Reading]


def _decide_mixed(draft: Draft, rows: Relation, name: str) -> None:
    """Derive a column from dates in several formats, each of which only one way reads."""
    shapes = list(_shapes(rows, name))
    if len(shapes) < 2 or not all(one.ways for one in shapes):
        return
    sure = [next(iter(one.ways)) for one in shapes if len(one.ways) == 1]
    orders = {day_first(one) for one in sure} - {None}
    chosen: list[str] = []
    for shape in shapes:
        fitting = (
            [one for one in shape.ways if day_first(one) in (None, *orders)] if len(shape.ways) > 1 else [*shape.ways]
        )
        if len(orders) > 1 or len(fitting) != 1:
            _note_mixed(draft, rows, name, shape, sure)
            return
        chosen += fitting
    draft.columns[name] = _coalesced(name, chosen)
    shown = ", ".join(dict.fromkeys(chosen))
    draft.reasons[f"columns.{name}"] = f"cells are written as {shown}"


def _note_mixed(draft: Draft, rows: Relation, name: str, shape: _Shape, sure: Sequence[str]) -> None:
    orders = {True: [], False: []}  # type: dict[bool, list[str]]
    for is_first, ways in orders.items():
        every = [one for one in (*shape.ways, *sure) if day_first(one) in (None, is_first)]
        ways += dict.fromkeys(every)
    cell = str(rows.engine.row(f"SELECT {quote(name)} FROM {rows} WHERE {shape.condition} LIMIT 1")[0])
    named = {"day first": orders[True], "month first": orders[False]}
    meant = {words: ("columns", _coalesced(name, ways)) for words, ways in named.items() if ways}
    draft.undecided[name] = Undecided(cell, meant, is_moment=True)


def _coalesced(name: str, ways: Iterable[str]) -> str:
    """Return the moment of a cell by the first way that reads it, in SQL."""
    column = in_sql(name)
    tried = [
        f"try_cast({column} as timestamp)" if one == _ISO else f"try_strptime(trim({column}), {literal(one)})"
        for one in dict.fromkeys(ways)
    ]
    return f"coalesce({', '.join(tried)})" if len(tried) > 1 else tried[0]


def _shapes(rows: Relation, name: str) -> Iterator[_Shape]:
    """Find the forms of a column's cells; none when it has many, as other text has."""
    column = quote(name)
    form = f"regexp_replace(regexp_replace(trim({column}), '[0-9]+', '9', 'g'), '[A-Za-z]+', 'A', 'g')"
    forms = rows.engine.rows(
        f"SELECT {form}, list({column}) FROM (SELECT {column} FROM {rows} WHERE {column} IS NOT NULL "
        f"USING SAMPLE reservoir(5000 ROWS) REPEATABLE (0)) GROUP BY 1 ORDER BY count(*) DESC LIMIT {_MOST_SHAPES + 1}"
    )
    if len(forms) > _MOST_SHAPES:
        return
    known = ", ".join(literal(one) for one, _ in forms)
    (others,) = rows.engine.row(f"SELECT count(*) FROM {rows} WHERE {form} NOT IN ({known})") if forms else (1,)
    for one, cells in forms if not others else ():
        condition = f"{form} = {literal(one)}"
        formats = {way: reading_in(way) for way in candidates(cells[:200])}
        ways = {_ISO: MOMENTS["TIMESTAMP WITH TIME ZONE"], **formats}
        yield _Shape(condition, _reading_all(rows, name, condition, ways))


def _reading_all(rows: Relation, name: str, condition: str, ways: Mapping[str, Reading]) -> dict[str, Reading]:
    bad = ", ".join(f"count(*) FILTER (NOT {one.condition(quote(name))})" for one in ways.values())
    counts = rows.engine.row(f"SELECT {bad} FROM {rows} WHERE {condition}")
    fitting = {one: way for (one, way), count in zip(ways.items(), counts, strict=True) if not count}
    return {_ISO: fitting[_ISO]} if _ISO in fitting else fitting


def day_first(format_: str) -> bool | None:
    """Tell whether a format has the day before the month; None where that cannot be mistaken.

    >>> day_first("%d/%m/%Y"), day_first("%m/%d/%y"), day_first("%Y-%m-%d"), day_first("%d %b %Y")
    (True, False, None, None)
    """
    if "%m" not in format_ or "%d" not in format_ or format_.startswith(("%Y", "%y")):
        return None
    return format_.index("%d") < format_.index("%m")


def decide_by_others(draft: Draft, rows: Relation) -> None:
    """Decide what one column leaves open by other columns of the same file, or by the order of its rows.

    Other files say nothing: they may come from elsewhere.

    Args:
        draft: The table.
        rows: Its rows, before anything is cast.
    """
    orders = _orders(draft)
    for column, one in list(draft.undecided.items()):
        if {key for key, _ in one.ways.values()} != {"date_format"}:
            continue
        formats = [str(value) for _, value in one.ways.values()]
        if len(orders) == 1:
            fitting = [way for way in formats if day_first(way) in orders]
            why = f"{_order(next(iter(orders)))}, as in other columns of this file"
        else:
            fitting = [way for way in formats if _is_sorted(rows, column, way)]
            why = "read so, the rows are in order of time"
        if len(fitting) == 1:
            draft.date_format[column] = fitting[0]
            others = ", ".join(way for way in formats if way != fitting[0])
            draft.reasons[f"date_format.{column}"] = f"{why}; {others} reads every cell too"
            del draft.undecided[column]


def _orders(draft: Draft) -> set[bool]:
    formats = [*draft.date_format.values(), *re.findall(r"%[^']+", " ".join(draft.columns.values()))]
    return {found for one in formats if (found := day_first(one)) is not None}


def _order(is_day_first: bool) -> str:
    return "day first" if is_day_first else "month first"


def _is_sorted(rows: Relation, name: str, format_: str) -> bool:
    """Tell whether the rows of a file are in ascending or descending order of a column in a format."""
    moment = reading_in(format_).lenient_sql(quote(name))
    steps = f"SELECT {moment} AS this, lag({moment}) OVER () AS last FROM {rows} WHERE {quote(name)} IS NOT NULL"
    up, down = rows.engine.row(
        f"SELECT count(*) FILTER (this > last), count(*) FILTER (this < last) FROM ({steps}) WHERE last IS NOT NULL"
    )
    return bool(max(up, down) >= 20 and min(up, down) == 0)
