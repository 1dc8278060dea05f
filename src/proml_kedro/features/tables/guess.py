"""Guessing types of text columns: a type is taken only if every cell of the file is such a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.features.tables.dates import candidates, reading_in
from proml_kedro.features.tables.text import Reading

_SAMPLE = 2048
"""Rows by which most types are ruled out before the whole file is read."""
_SHOWN = 50
"""Cells of a column that formats of dates are proposed by."""
_CELLS = ""
"""In place of a type: how many cells there are."""


@dataclass(frozen=True)
class Open:
    """A column whose type its cells decide.

    Attributes:
        readings: Ways to read it, the first that fits all cells before others.
        type: SQL type that is wanted; None for any.
        why: What asked for it, for people; empty when nothing did.
        moment: The key that says that it is a moment; None when none does.
        formats: Whether it may be dates in other formats than ISO 8601.
    """

    readings: Mapping[str, Reading]
    type: str | None = None
    why: str = ""
    moment: str | None = None
    formats: bool = False


@dataclass(frozen=True)
class Guess:
    """What the cells of a column say.

    Attributes:
        reading: A way to read that fits all cells; None when it stays text.
        why: What was seen, for people.
        undecided: Formats that all read it, to different moments.
        left: How many cells each way leaves, where none reads all.
        by_sample: Whether only the beginning of the file was looked at; reading fails where the rest is otherwise.
    """

    reading: Reading | None
    why: str = ""
    undecided: tuple[str, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    by_sample: bool = False


def guess(rows: Relation, columns: Mapping[str, Open], surely: bool) -> dict[str, Guess]:
    """Return how columns of text can be read.

    The first way that fits the beginning of a file is the first one for all of it, or fails on a later cell.

    Args:
        rows: The source.
        columns: Those in question.
        surely: Whether to look at all cells, rather than at the beginning where that tells.
    """
    if not columns:
        return {}
    names = ", ".join(map(quote, columns))
    # Not a table of the engine's own: ten thousand columns of that take a block of memory each.
    table = rows.engine.arrow(f"SELECT {names} FROM {rows} LIMIT {_SAMPLE}")
    rows.engine.register("__sample", table)
    sample = Relation("__sample", rows.engine)
    first = {name: table[name].drop_null()[:_SHOWN].to_pylist() for name, one in columns.items() if one.formats}
    ways = {name: _ways(one, first.get(name, [])) for name, one in columns.items()}
    left = _left(sample, ways)
    if len(table) == _SAMPLE:
        late = {
            name: _ways(columns[name], _cells(rows, name))
            for name, one in left.items()
            if columns[name].formats and not one[_CELLS]
        }
        told = (
            {} if surely else {name: one for name in columns if (one := _told(columns[name], ways[name], left[name]))}
        )
        ways = {name: _possible(columns[name], ways[name], left[name]) for name in columns if name not in told} | late
        left = _left(rows, {name: one for name, one in ways.items() if one})
        return {**told, **{name: _choose(rows, name, ways[name], left.get(name, {_CELLS: 1})) for name in ways}}
    return {name: _choose(rows, name, ways[name], left.get(name, {_CELLS: 1})) for name in columns}


def _told(column: Open, ways: Mapping[str, Reading], left: Mapping[str, int]) -> Guess | None:
    """What the beginning of a file says, None when that is not enough."""
    fitting = [one for one in ways if not left[one]] if left[_CELLS] else []
    if not left[_CELLS] or (not fitting and column.moment) or len([one for one in fitting if "%" in one]) > 1:
        return None
    if not fitting:
        return Guess(None)
    first = fitting[0]
    return Guess(ways[first], _why(first), by_sample=True)


def _why(way: str) -> str:
    return f"guessed: only {way} reads every cell" if "%" in way else "guessed: every cell is one"


def _cells(rows: Relation, name: str) -> list[str]:
    column = quote(name)
    query = f"SELECT {column} FROM {rows} WHERE {column} IS NOT NULL LIMIT {_SHOWN}"
    return [one for (one,) in rows.engine.rows(query)]


def _ways(column: Open, cells: Sequence[str]) -> dict[str, Reading]:
    formats = candidates(cells, two_digits=column.moment is not None)
    if column.type == "DATE":  # a day that is read of a moment would lose the time
        formats = [one for one in formats if reading_in(one).type == "DATE"]
    return {**column.readings, **{one: reading_in(one, column.type) for one in formats}}


def _possible(column: Open, ways: Mapping[str, Reading], left: Mapping[str, int]) -> dict[str, Reading]:
    """Those that the sample does not rule out; of a moment all, to say how many cells each of them leaves."""
    return {one: reading for one, reading in ways.items() if column.moment or not left[one]}


def _left(rows: Relation, ways: Mapping[str, Mapping[str, Reading]]) -> dict[str, dict[str, int]]:
    """How many cells each way to read a column leaves, and under :data:`_CELLS` how many there are."""
    if not ways:
        return {}
    counts = []
    for name, readings in ways.items():
        counts.append(f"count({quote(name)})")
        counts += [f"count(*) FILTER (NOT {one.condition(quote(name))})" for one in readings.values()]
    values = iter(rows.engine.row(f"SELECT {', '.join(counts)} FROM {rows}"))
    return {name: {one: next(values) for one in (_CELLS, *readings)} for name, readings in ways.items()}


def _choose(rows: Relation, name: str, ways: Mapping[str, Reading], left: Mapping[str, int]) -> Guess:
    fitting = [one for one in ways if not left[one]] if left[_CELLS] else []
    if not fitting:
        return Guess(None, left={one: count for one, count in left.items() if one != _CELLS and count < left[_CELLS]})
    first = fitting[0]
    if "%" not in first:
        return Guess(ways[first], _why(first))
    others = _differing(rows, name, {one: ways[one] for one in fitting})
    if others:
        return Guess(None, undecided=(first, *others))
    return Guess(ways[first], _why(first))


def _differing(rows: Relation, name: str, formats: Mapping[str, Reading]) -> list[str]:
    """The formats that read a cell to another moment than the first one does."""
    first, *others = (one.sql(quote(name)) for one in formats.values())
    if not others:
        return []
    counts = ", ".join(f"count(*) FILTER ({one} IS DISTINCT FROM {first})" for one in others)
    found = rows.engine.row(f"SELECT {counts} FROM {rows}")
    return [one for one, count in zip(list(formats)[1:], found, strict=True) if count]
