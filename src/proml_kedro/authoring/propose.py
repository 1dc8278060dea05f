"""From tables that were looked at to a problem and its features, each part with the reason for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from proml_kedro.authoring.label import Label, find_label
from proml_kedro.authoring.leaks import known_afterwards, measured
from proml_kedro.authoring.look import Column, Table
from proml_kedro.authoring.moment_of import Moment, find_moment
from proml_kedro.authoring.names import in_sql, is_identifier
from proml_kedro.authoring.relate import Link, find_links, own_keys
from proml_kedro.authoring.split import Split, with_learned_classes
from proml_kedro.engine.duckdb import quote
from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.training_set import RESERVED, SCORED

_OWN = 0.5
"""Part of the rows with a value of their own from which a text is no category."""
_ENOUGH = 50
"""Rows below which that says nothing."""
_CATEGORIES = 1000
"""Values up to which a key is a category too."""


@dataclass
class Proposal:
    """A problem and its features, proposed.

    Attributes:
        tables: The tables.
        label: What is predicted.
        moment: The moment that examples are about.
        split: How examples are divided.
        entities: Columns of the examples that name whom or what a row is about.
        links: Which of them are keys of other tables.
        left_out: Columns of tables that are no features, by table: why.
        doubts: Columns that are features with a question, by table: what it is.
        empty: Tables without a row, which no run reads.
    """

    tables: Mapping[str, Table]
    label: Label
    moment: Moment
    split: Split
    entities: list[str]
    links: list[Link]
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    doubts: dict[str, dict[str, str]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    @property
    def examples(self) -> Table:
        """The table that has the label."""
        return self.tables[self.label.table]

    def request_columns(self) -> Iterator[Column]:
        """Yield the columns of the examples that are features."""
        for one in self.examples.columns.values():
            if one.name != self.label.column and one.name not in self.left_out.get(self.examples.name, {}):
                yield one


def propose(tables: Mapping[str, Table], wanted: str) -> Proposal:
    """Propose a problem.

    Args:
        tables: Tables that were looked at, by name.
        wanted: The label, as :func:`proml_kedro.authoring.label.find_label` takes it.

    Raises:
        UserError: There is no such label.
    """
    label = find_label(tables, wanted)
    empty = [name for name, one in tables.items() if not one.count]
    tables = {name: one for name, one in tables.items() if one.count}
    examples = tables[label.table]
    others = {name: one for name, one in tables.items() if name != examples.name}
    links = find_links(examples, others, label.column)
    keys = list(dict.fromkeys([*(one.column for one in links), *own_keys(examples, label.column)]))
    moment = find_moment(examples, keys, label.column)
    _refuse_reserved(keys)
    label, split = with_learned_classes(examples, label, moment, keys)
    found = Proposal(tables, label, moment, split, keys if moment.column else [], links, empty=empty)
    _leave_out(found, keys)
    return found


def _refuse_reserved(keys: list[str]) -> None:
    taken = sorted(set(keys) & {*RESERVED, *SCORED})
    if taken:
        raise UserError(Mistake("", f"a key cannot be called '{taken[0]}'; rename the column in the file"))


def _leave_out(found: Proposal, keys: list[str]) -> None:
    examples, label = found.examples, found.label
    reasons = found.left_out.setdefault(examples.name, {})
    for one in examples.columns.values():
        if one.name != label.column and (why := _no_feature(one, examples, found.moment, keys)):
            reasons[one.name] = why
    reasons |= {name: why for name, why in known_afterwards(examples, label) if name not in reasons}
    own = f"(SELECT *, {_target(label)} FROM {examples.rows})"
    _judge(found, examples.name, own, [one.name for one in found.request_columns()])
    for link in found.links if found.moment.column else ():
        table = found.tables[link.table]
        if link.is_unique:
            names = [one.name for one in table.columns.values() if one.dtype and one.name != link.other]
            _judge(found, table.name, _joined(examples, label, table, link, names), names)


def _no_feature(column: Column, table: Table, moment: Moment, keys: list[str]) -> str:
    """Why a column of the examples is no feature; empty when it may be one."""
    if column.is_moment:
        return _as_moment(column.name, moment)
    if column.name in table.draft.undecided:
        return "can be read in several ways: see problem"
    if column.different < 2:
        return "has one value only" if column.known else "has no value"
    if column.dtype is None:
        return f"is {column.type.partition('(')[0]}"
    if column.name in keys and column.different > _CATEGORIES:
        return f"is a key of {column.different:,} values, which a model reads where it is named"
    return _of_single_rows(column, table)


def _as_moment(name: str, moment: Moment) -> str:
    if name == moment.column:
        return "is the moment that rows are about"
    if name in moment.later:
        return f"comes after {moment.column} in {moment.later[name]:.0%} of the rows: known afterwards"
    return f"is a moment; a number such as date_diff('day', {in_sql(name)}, …) can be a feature"


def _of_single_rows(column: Column, table: Table) -> str:
    """Why a column says nothing of other rows; empty when it may."""
    if table.count < _ENOUGH or column.different <= _OWN * column.known:
        return ""
    if column.dtype == "str":
        return f"has {column.different:,} different texts in {column.known:,} rows"
    return "numbers the rows" if column.dtype == "int" and _numbers_rows(column, table) else ""


def _numbers_rows(column: Column, table: Table) -> bool:
    if column.different < column.known:
        return False
    counts = column.least in (0, 1) and column.most - column.least == column.known - 1
    return is_identifier(column.name, table.name) or counts


def _target(label: Label) -> str:
    type_ = "VARCHAR" if label.task == "multiclass" else "DOUBLE"
    return f"CAST(({label.expression}) AS {type_}) AS label_, row_number() OVER () AS rowid_"


def _joined(examples: Table, label: Label, table: Table, link: Link, names: list[str]) -> str:
    """Labels of the examples beside columns of another table."""
    columns = ", ".join(f"t.{quote(name)}" for name in names)
    key = link.repair or quote(link.other)
    own = f"SELECT {_target(label)}, CAST({quote(link.column)} AS VARCHAR) AS key_ FROM {examples.rows}"
    other = f"SELECT *, CAST({key} AS VARCHAR) AS key_ FROM {table.rows}"
    return f"(SELECT {columns}, e.label_, e.rowid_ FROM ({own}) e JOIN ({other}) t ON e.key_ = t.key_)"


def _judge(found: Proposal, table: str, rows: str, names: list[str]) -> None:
    for name, what, is_certain in measured(rows, names, found.label.task, found.examples.rows.engine):
        if is_certain:
            found.left_out.setdefault(table, {})[name] = what
        else:
            found.doubts.setdefault(table, {})[name] = f"{what}: is it known beforehand?"
