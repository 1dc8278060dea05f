"""How numbers are written in a file of text, and which words stand for none; by evidence of all its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proml_kedro.authoring.draft import Draft, Undecided
from proml_kedro.authoring.names import in_sql
from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.features.tables.guess import Guess, Open, guess
from proml_kedro.features.tables.text import PLAIN, Numbers, guesses

_WORDS = (
    "na",
    "n/a",
    "#n/a",
    "null",
    "(null)",
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
)
"""What people write where there is nothing, in small letters."""
_MOST_WORDS = 3
_COMMA, _COMMA_DOTS, _DOTS_COMMA = Numbers(",", ""), Numbers(",", "."), Numbers(".", ",")
_GROUPS = r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+"
"""Numbers whose points may part groups of digits, or be before a fraction of three digits."""


@dataclass(frozen=True)
class _Found:
    """Columns that are numbers, by what commas and points in them may be.

    Attributes:
        usual: As they stand.
        comma: With commas before fractions.
        comma_dots: So too, with points between groups of digits.
        dots_comma: With commas between groups of digits.
    """

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
    numbers = found.usual | found.comma_dots | found.dots_comma
    _keep_zeros(draft, bare, [name for name in bare.schema if name not in numbers])
    own = _decide_words(draft, rows, bare, numbers)
    _decide_marks(draft, bare, found, own)
    for name, value in own.items():
        if name not in draft.columns and name not in draft.undecided:
            number = value if name in found.usual else f"replace({value}, ',', '.')"
            draft.columns[name] = f"{number}::double"
            draft.reasons[f"columns.{name}"] = "a word for nothing here is something in other columns"


def _keep_zeros(draft: Draft, rows: Relation, names: Sequence[str]) -> None:
    """Declare digits with leading zeros as text, so that a file without such is read alike."""
    for name in names:
        column = quote(name)
        others, zeros, cell = rows.engine.row(
            f"SELECT count(*) FILTER (NOT regexp_full_match({column}, '[0-9]+')), "
            f"count(*) FILTER ({column} LIKE '0_%'), min({column}) FROM {rows}"
        )
        if zeros and not others:
            draft.types[name] = "VARCHAR"
            draft.reasons[f"types.{name}"] = f"leading zeros, as in {cell}"


def _without_words(rows: Relation) -> Relation:
    words = ", ".join(map(literal, _WORDS))
    value = f"CASE WHEN lower(trim({{0}})) IN ({words}) THEN NULL ELSE {{0}} END"
    bare = {one: value.format(quote(one)) for one in rows.schema if rows.schema[one] == "VARCHAR"}
    return rows.replace(bare, dict.fromkeys(bare, "VARCHAR"))


def _numbers(rows: Relation, names: Sequence[str], numbers: Numbers) -> frozenset[str]:
    known = guesses(numbers)
    wanted = {name: known[name] for name in ("BIGINT", "DOUBLE")}
    found = guess(rows, {name: Open(wanted) for name in names}, surely=True)
    return frozenset(name for name, one in found.items() if one.reading is not None)


def _typed(rows: Relation, names: Sequence[str]) -> dict[str, Guess]:
    return guess(rows, {name: Open(guesses(PLAIN), formats=True) for name in names}, surely=True)


def _decide_words(draft: Draft, rows: Relation, bare: Relation, numbers: frozenset[str]) -> dict[str, str]:
    """Set the words that stand for nothing in columns that are otherwise numbers, dates or truth values.

    Returns:
        Columns of numbers for which that has to be done one by one: their texts without the words, in SQL.
    """
    typed = {name for name, one in _typed(bare, list(bare.schema)).items() if one.reading or one.undecided} | numbers
    words = {name: list(_words_in(rows, name)) for name in rows.schema}
    needed = sorted({word for name in typed for word in words[name] if len(words[name]) <= _MOST_WORDS})
    if not needed:
        return {}
    others = {word for name in words if name not in typed for word in words[name]}
    if others.isdisjoint({"NA", *needed}):  # in quotes NA is a text as long as nothing is declared
        of = _listed(name for name in typed if words[name])
        draft.set("null_words", ["NA", *(one for one in needed if one != "NA")], f"they stand for nothing in {of}")
        return {}
    return {name: _nulled(name, words[name]) for name in sorted(typed & numbers) if words[name]}


def _nulled(name: str, words: Iterable[str]) -> str:
    value = in_sql(name)
    for word in words:
        value = f"nullif({value}, {literal(word)})"
    return value


def _words_in(rows: Relation, name: str) -> Iterator[str]:
    column, words = quote(name), ", ".join(map(literal, _WORDS))
    query = f"SELECT DISTINCT {column} FROM {rows} WHERE lower(trim({column})) IN ({words}) ORDER BY 1 LIMIT 9"
    yield from (word for (word,) in rows.engine.rows(query))


def _decide_marks(draft: Draft, rows: Relation, found: _Found, own: dict[str, str]) -> None:
    decimal, groups = found.comma_dots - found.usual, found.dots_comma - found.usual
    either = decimal & groups
    if not decimal and not groups:
        _ask_points(draft, rows, found)
    elif decimal == groups:
        _ask_commas(draft, rows, either)
    elif groups <= decimal:
        _decide_decimal(draft, found, decimal, own)
    elif decimal <= groups:
        draft.set("thousands", ",", f"commas part groups of digits in {_listed(groups)}")
    else:  # both habits in one file: each column for itself
        _repair(draft, sorted(decimal - either), found, own)
        for name in sorted(groups - decimal):
            value = own.get(name, in_sql(name))
            _derive(draft, name, f"replace({value}, ',', '')::double", "commas part groups of digits here")
        _ask_commas(draft, rows, either)


def _decide_decimal(draft: Draft, found: _Found, decimal: frozenset[str], own: dict[str, str]) -> None:
    """Set the comma as decimal mark of the file, or of single columns where others have points."""
    commas = decimal & found.comma
    why = f"commas stand before fractions in {_listed(commas)}" if commas else "points part groups of digits"
    if found.usual | decimal <= found.comma:
        draft.set("decimal", ",", why)
    elif found.usual | decimal <= found.comma_dots:
        draft.set("decimal", ",", why)
        dotted = _listed((found.usual | decimal) - found.comma)
        draft.set("thousands", ".", f"points part groups of digits in {dotted}, as commas stand before fractions")
    else:
        _repair(draft, sorted(decimal), found, own)


def _repair(draft: Draft, names: Iterable[str], found: _Found, own: dict[str, str]) -> None:
    for name in names:
        value = own.get(name, in_sql(name))
        value = value if name in found.comma else f"replace({value}, '.', '')"
        _derive(draft, name, f"replace({value}, ',', '.')::double", "commas before fractions here, points elsewhere")


def _derive(draft: Draft, name: str, expression: str, why: str) -> None:
    draft.columns[name] = expression
    draft.reasons[f"columns.{name}"] = why


def _ask_commas(draft: Draft, rows: Relation, names: Iterable[str]) -> None:
    """Note columns whose commas may part groups of digits, or be before a fraction of three digits."""
    for name in sorted(names):
        cell = _cell(rows, name, ",")
        ways = {cell.replace(",", "."): ("decimal", ","), cell.replace(",", ""): ("thousands", ",")}
        draft.undecided[name] = Undecided(cell, ways)


def _ask_points(draft: Draft, rows: Relation, found: _Found) -> None:
    """Note columns whose points may part groups of digits, where no other column shows what points are."""
    counts = {name: _points(rows, name) for name in sorted(found.usual)}
    pointed = [name for name, (points, _) in counts.items() if points]
    if any(points > grouped for points, grouped in counts.values()):
        return
    if pointed and draft.delimiter == ",":
        draft.reasons["decimal"] = f"points are before fractions in {_listed(pointed)}, as commas are between fields"
        return
    for name in pointed:
        cell = _cell(rows, name, ".")
        repair = f"replace({in_sql(name)}, '.', '')::double"
        ways = {f"{cell} with a fraction": ("types", "DOUBLE"), cell.replace(".", ""): ("columns", repair)}
        draft.undecided[name] = Undecided(cell, ways)


def _points(rows: Relation, name: str) -> tuple[int, int]:
    """How many cells have points, and in how many of them these may part groups of digits."""
    column = quote(name)
    points, grouped = rows.engine.row(
        f"SELECT count(*) FILTER (contains({column}, '.')), "
        f"count(*) FILTER (regexp_full_match(trim({column}), {literal(_GROUPS)})) FROM {rows}"
    )
    return int(points), int(grouped)


def _cell(rows: Relation, name: str, mark: str) -> str:
    column = quote(name)
    query = f"SELECT {column} FROM {rows} WHERE contains({column}, {literal(mark)}) LIMIT 1"
    return str(rows.engine.row(query)[0]).strip()


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    shown = ", ".join(f"'{name}'" for name in every[:3])
    return shown + (f" and {len(every) - 3} more" if len(every) > 3 else "")
