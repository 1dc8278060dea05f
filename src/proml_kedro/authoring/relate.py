"""How tables belong together: which columns name the same things, found by names and by values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from proml_kedro.authoring.look import Column, Table
from proml_kedro.authoring.names import in_sql, is_identifier, same_thing, stem
from proml_kedro.engine.duckdb import quote

_MOST = 0.9
"""Share of values of a column that another one must hold, where their names say nothing."""
_SOME = 0.01
"""Share of examples that must find their key in another table, where names say that it is one."""
_DIFFERENT = 10
"""Values below which equal ones in two tables may be chance."""


_STEPS, _REGULAR = 20, 0.9
"""Steps between rows of a series, and the part of them that must be alike."""


@dataclass(frozen=True)
class Link:
    """Column of the examples whose values name rows of another table.

    Attributes:
        column: The column of the examples.
        table: The other table.
        other: Its column.
        is_unique: Whether the other table has one row for each value.
        share: Part of the examples whose value is there.
        repair: What makes values of the other table those of the examples, in SQL; empty when they are.
    """

    column: str
    table: str
    other: str
    is_unique: bool
    share: float
    repair: str = ""


def find_links(examples: Table, others: Mapping[str, Table], label: str) -> list[Link]:
    """Find the columns of the examples that are keys of other tables; of several for one table all that are.

    Args:
        examples: The table that has the label.
        others: The other ones.
        label: The label's column, which is no key.
    """
    parts = _calendar_parts(examples)
    links = []
    for table in others.values():
        not_keys = _calendar_parts(table)
        for column in examples.columns.values():
            if column.name == label or column.name in parts or not column.is_key_like or column.different < 2:
                continue
            for other in table.columns.values():
                if other.name in not_keys or not other.is_key_like or other.different < 2:
                    continue
                link = _link(examples, column, table, other)
                if link:
                    links.append(link)
    return list(_best(links))


def _best(links: list[Link]) -> Iterator[Link]:
    """Keep one link for each column and table: that to a unique column first, then the one that finds most."""
    ordered = sorted(links, key=lambda one: (-one.is_unique, bool(one.repair), -one.share))
    seen: set[tuple[str, str]] = set()
    for one in ordered:
        if (one.column, one.table) not in seen:
            seen.add((one.column, one.table))
            yield one


def _link(examples: Table, column: Column, table: Table, other: Column) -> Link | None:
    named = same_thing(stem(column.name, examples.name), stem(other.name, table.name))
    is_text = column.type == other.type == "VARCHAR"
    is_unique = other.known == other.different and table.count > 1
    if not named and not (is_text and is_unique and min(column.different, other.different) >= _DIFFERENT):
        return None
    speaks = is_unique or is_identifier(column.name, examples.name) or is_identifier(other.name, table.name)
    if (
        named
        and not speaks
        and min(column.different, other.different) < 2 * _DIFFERENT
        and not _is_series(table, other)
    ):
        return None
    share = _share(examples, column.name, table, quote(other.name))
    if share >= (_SOME if named else _MOST):
        return Link(column.name, table.name, other.name, is_unique, share)
    repair = _padded(examples, column, other) if named else ""
    if repair and (share := _share(examples, column.name, table, repair)) >= _SOME:
        return Link(column.name, table.name, other.name, is_unique, share, repair)
    return None


def _is_series(table: Table, column: Column) -> bool:
    """Tell whether a table has observations at a regular pace for each value of a column."""
    moments = (one.name for one in table.columns.values() if one.is_moment and one.different > _DIFFERENT)
    return any(step_of(table, column.name, moment) for moment in moments)


def step_of(table: Table, key: str, moment: str) -> timedelta | None:
    """Return the time between rows of one key, where it is nearly always the same; None otherwise.

    Args:
        table: The table.
        key: Its column that names something.
        moment: Its column with the moment.
    """
    at = f"CAST({quote(moment)} AS TIMESTAMP)"
    steps = f"SELECT {at} - lag({at}) OVER (PARTITION BY {quote(key)} ORDER BY {at}) AS step FROM {table.rows}"
    found = table.rows.engine.rows(
        f"SELECT step, count(*) AS n, sum(n) OVER () FROM ({steps}) WHERE step IS NOT NULL "
        "GROUP BY step ORDER BY n DESC LIMIT 1"
    )
    if not found:
        return None
    usual, count, total = found[0]
    return usual if usual > timedelta(0) and total >= _STEPS and count >= _REGULAR * total else None


def _share(examples: Table, column: str, table: Table, other: str) -> float:
    """Part of the examples with a key whose key is among the values of an expression over another table."""
    key = f"CAST({quote(column)} AS VARCHAR)"
    found, total = examples.rows.engine.row(
        f"SELECT count(*) FILTER ({key} IN (SELECT CAST({other} AS VARCHAR) FROM {table.rows})), count(*) "
        f"FROM {examples.rows} WHERE {quote(column)} IS NOT NULL"
    )
    return float(found / total) if total else 0.0


def _padded(examples: Table, column: Column, other: Column) -> str:
    """Return the values of a column with leading zeros as examples have them; empty when these have none."""
    if column.type != "VARCHAR":
        return ""
    name = quote(column.name)
    least, most, zeros = examples.rows.engine.row(
        f"SELECT min(strlen({name})), max(strlen({name})), count(*) FILTER (starts_with({name}, '0')) "
        f"FROM {examples.rows}"
    )
    if not zeros or least != most:
        return ""
    return f"lpad(CAST({in_sql(other.name)} AS VARCHAR), {most}, '0')"


def _calendar_parts(table: Table) -> set[str]:
    """Columns that a moment of the table determines, such as its month: equal values in other tables are no keys."""
    found: set[str] = set()
    for moment in (one for one in table.columns.values() if one.is_moment and 2 * one.different <= one.known):
        numbers = [one.name for one in table.columns.values() if one.is_key_like and one.name not in found]
        if not numbers:
            continue
        pairs = ", ".join(f"count(DISTINCT ({quote(moment.name)}, {quote(one)}))" for one in numbers)
        (whole,) = table.rows.engine.row(f"SELECT count(DISTINCT {quote(moment.name)}) FROM {table.rows}")
        counts = table.rows.engine.row(f"SELECT {pairs} FROM {table.rows} WHERE {quote(moment.name)} IS NOT NULL")
        found |= {name for name, count in zip(numbers, counts, strict=True) if count <= whole * 1.001}
    return found


def own_keys(examples: Table, label: str) -> list[str]:
    """Find columns by which examples repeat, and whose names say that they name things.

    Args:
        examples: The table that has the label.
        label: The label's column.
    """
    parts = _calendar_parts(examples)
    return [
        one.name
        for one in examples.columns.values()
        if one.is_key_like
        and one.name not in {label, *parts}
        and is_identifier(one.name, examples.name)
        and _DIFFERENT <= one.different <= one.known / 2
    ]
