"""How examples are divided: by time where they have one, otherwise at random with what belongs together on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from proml_kedro.authoring.label import Label
from proml_kedro.authoring.look import Table
from proml_kedro.authoring.moment_of import Moment
from proml_kedro.authoring.names import mapping
from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.features.tables.dates import reading_in

_VALIDATION, _TEST = 0.7, 0.85
"""Parts of the examples before validation, and before test."""
_DAYS = 10
"""Days below which parts begin at moments rather than at days."""
_GROUPS = 10
"""Different keys below which they are not kept together."""

_AT_RANDOM = {"by": "random", "validation": "20%", "test": "20%"}


@dataclass(frozen=True)
class Split:
    """How examples are divided.

    Attributes:
        yaml: What stands in YAML.
        why: What decided, for people.
    """

    yaml: dict[str, Any]
    why: str

    @property
    def start(self) -> date | str:
        """First day or moment of the validation period, of a split by time."""
        start: date | str = self.yaml["validation_from"]
        return start


def find_split(table: Table, label: Label, moment: Moment, keys: Sequence[str]) -> Split:
    """Divide examples.

    Args:
        table: Their table.
        label: What is predicted.
        moment: Their moment.
        keys: Columns by which they repeat.
    """
    if moment.column is None:
        group = next((one for one in keys if table.columns[one].different >= _GROUPS), None)
        why = "there is no moment to divide by"
        if group is None:
            return Split(dict(_AT_RANDOM), why)
        return Split(dict(_AT_RANDOM, group=group), f"{why}; all rows of one {group} are on one side")
    undecided = table.draft.undecided.get(moment.column)
    if undecided is None:
        return _by_time(table, label, f"CAST({quote(moment.column)} AS TIMESTAMPTZ)")
    ways = {meaning: _way_sql(moment.column, key, value) for meaning, (key, value) in undecided.ways.items()}
    first, *others = (_by_time(table, label, sql) for sql in ways.values())
    shown = "; ".join(
        f"if it is {meaning}: {mapping(one.yaml)}" for meaning, one in zip([*ways][1:], others, strict=True)
    )
    return Split(first.yaml, f"if {undecided.cell!r} is {next(iter(ways))}; {shown}")


def _way_sql(column: str, key: str, value: str) -> str:
    reading = reading_in(value).lenient_sql(quote(column)) if key == "date_format" else value
    return f"CAST({reading} AS TIMESTAMPTZ)"


def _by_time(table: Table, label: Label, at: str) -> Split:
    rows = f"{table.rows} WHERE NOT coalesce({label.drop_when}, false)" if label.drop_when else str(table.rows)
    first, one, two, last = table.rows.engine.row(
        f"SELECT min({at}), quantile_disc({at}, {_VALIDATION}), quantile_disc({at}, {_TEST}), max({at}) FROM {rows}"
    )
    days = (last - first).days >= _DAYS
    starts = [_start(moment, days) for moment in (one, two)]
    if not str(first.date() if days else first) < str(starts[0]) < str(starts[1]):
        return Split(dict(_AT_RANDOM), "there are too few moments to divide by")
    yaml = {"by": "time", "validation_from": starts[0], "test_from": starts[1]}
    return Split(yaml, "about 70 %, 15 % and 15 % of the examples, in UTC")


def with_learned_classes(table: Table, label: Label, moment: Moment, keys: Sequence[str]) -> tuple[Label, Split]:
    """Divide examples, and leave out the classes that no one before validation has: nothing could be learned of them.

    Args:
        table: The examples' table.
        label: What is predicted.
        moment: The examples' moment.
        keys: Columns by which examples repeat.

    Returns:
        The label without such classes, and how the other examples are divided.
    """
    split = find_split(table, label, moment, keys)
    if label.task != "multiclass" or split.yaml["by"] != "time" or moment.column in table.draft.undecided:
        return label, split
    name, rest = label.expression, f"NOT coalesce({label.drop_when or 'false'}, false)"
    learned = f"count(*) FILTER (CAST({quote(str(moment.column))} AS TIMESTAMPTZ) < {literal(str(split.start))})"
    found = table.rows.engine.rows(
        f"SELECT {name}, count(*), {learned} AS learned FROM {table.rows} WHERE {rest} GROUP BY 1 ORDER BY 1"
    )
    unseen = {one: count for one, count, learned_from in found if not learned_from}
    if not unseen or len(found) - len(unseen) < 2:
        return label, split
    condition = f"{name} in ({', '.join(map(literal, unseen))})"
    drop_when = f"{label.drop_when} or {condition}" if label.drop_when else condition
    classes = ", ".join(map(repr, unseen))
    why = f"{label.why}; left out: {sum(unseen.values()):,} rows of {classes}, which no row before {split.start} has"
    return with_learned_classes(table, replace(label, drop_when=drop_when, why=why), moment, keys)


def _start(moment: datetime, days: bool) -> date | str:
    return moment.date() if days else f"{moment:%Y-%m-%dT%H:%M:%S}"
