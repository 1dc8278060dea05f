"""The moment that examples are about: the earliest of their moments that is no attribute of a person or thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from proml_kedro.authoring.look import Column, Table
from proml_kedro.engine.duckdb import quote

_ATTRIBUTE = re.compile(
    r"birth|born|geburt|dob|founded|since|joined|join_date|signup|sign_up|registered|valid|expir|due|built"
)
"""Names of dates that belong to somebody, or lie ahead."""
_ALMOST = 0.99


@dataclass(frozen=True)
class Moment:
    """The moment of the examples.

    Attributes:
        column: Its column; None for a plain table.
        later: Columns of moments that come after it, each with how many rows it does so in.
        earlier: Other columns of moments.
        is_day: Whether it is a date, without a time.
    """

    column: str | None
    later: dict[str, float]
    earlier: list[str]
    is_day: bool = False


def find_moment(table: Table, keys: Sequence[str], label: str) -> Moment:
    """Find the moment of the examples.

    Args:
        table: Their table.
        keys: Columns that name whom or what a row is about.
        label: The label's column.
    """
    moments = [one for one in table.columns.values() if one.is_moment and one.name != label]
    undecided = undecided_moments(table)
    possible = [one for one in moments if one.known >= _ALMOST * table.count and one.different > 2]
    of_things = {one.name for one in possible if _is_attribute(table, one, keys)}
    chosen = [one for one in possible if one.name not in of_things]
    if not chosen:
        name = undecided[0] if undecided else None
        return Moment(name, {}, [one.name for one in moments], name is not None and _is_day(table, name))
    first = _earliest(table, chosen)
    others = [one for one in moments if one.name != first.name]
    shares = {one.name: share_after(table, first.name, one.name) for one in others}
    later = {name: share for name, share in shares.items() if share > 0.01 and name not in of_things}
    return Moment(first.name, later, [one for one in shares if one not in later], first.type == "DATE")


def undecided_moments(table: Table) -> list[str]:
    """Return the columns of dates that can be read in several ways."""
    return [name for name, one in table.draft.undecided.items() if name in table.columns and one.is_moment]


def _is_day(table: Table, column: str) -> bool:
    return not any("%H" in str(value) or "%I" in str(value) for _, value in table.draft.undecided[column].ways.values())


def _is_attribute(table: Table, column: Column, keys: Sequence[str]) -> bool:
    """Tell whether a moment is the same in all rows of one key, or is named after what happens once to somebody."""
    if _ATTRIBUTE.search(column.name.lower()):
        return True
    for key in keys:
        name = quote(key)
        groups, pairs, repeated = table.rows.engine.row(
            f"SELECT count(DISTINCT {name}), count(DISTINCT ({name}, {quote(column.name)})), count({name}) "
            f"FROM {table.rows} WHERE {name} IS NOT NULL"
        )
        if pairs == groups and repeated >= 1.5 * groups:
            return True
    return False


def _earliest(table: Table, columns: Sequence[Column]) -> Column:
    def lateness(column: Column) -> float:
        return sum(share_after(table, one.name, column.name) for one in columns if one is not column)

    return min(columns, key=lateness)


def share_after(table: Table, first: str, second: str) -> float:
    """Return the part of the rows in which a second moment comes after a first one.

    Args:
        table: The table.
        first: The column of the first.
        second: The column of the second.
    """
    one, two = (f"CAST({quote(name)} AS TIMESTAMPTZ)" for name in (first, second))
    after, total = table.rows.engine.row(
        f"SELECT count(*) FILTER ({two} > {one}), count({two} > {one}) FROM {table.rows}"
    )
    return float(after / total) if total else 0.0
