"""What the configuration says of columns before a file is opened: types, moments and keys, and which words it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proml_kedro.engine.duckdb import TYPES, quote
from proml_kedro.spec.features import ColumnFeature, FeaturesSpec, FeatureViewSpec, WindowFeature
from proml_kedro.spec.problem import ProblemSpec, TableSpec

_NAME = re.compile(r'[\s(]*(?:([A-Za-z_][A-Za-z0-9_]*)|"((?:[^"]|"")+)")[\s)]*')
"""A column's name as SQL, in quotes or not, perhaps in brackets."""
_CONSTANTS = ("true", "false", "null")


@dataclass(frozen=True)
class Declaration:
    """A type that a feature declares for a column.

    Attributes:
        type: SQL type.
        by: The feature, as ``view.feature``.
    """

    type: str
    by: str


@dataclass(frozen=True)
class Declared:
    """What is declared of the columns of tables.

    Attributes:
        types: Table → column in lower case → its type.
        moments: Table → column in lower case → the key that says that it is one.
        keys: Entity → the tables that it is a key of, that of the examples first.
        sources: Table → derived column that is another one by its name alone → that one, both in lower case.
    """

    types: Mapping[str, Mapping[str, Declaration]] = field(default_factory=dict)
    moments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the recipe of tables."""
        types = {
            table: {name: [one.type, one.by] for name, one in columns.items()} for table, columns in self.types.items()
        }
        return {
            "types": types,
            "moments": dict(self.moments),
            "keys": {name: list(one) for name, one in self.keys.items()},
        }

    def is_key(self, table: str, column: str) -> bool:
        """Return whether a column of a table is, perhaps under another name, the key of an entity."""
        of_table = self.sources.get(table, {})
        return any(
            table in tables and column.lower() in (name.lower(), of_table.get(name.lower()))
            for name, tables in self.keys.items()
        )


def declare(problem: ProblemSpec, features: FeaturesSpec | None) -> Declared:
    """Collect what is declared.

    Where views disagree on the type of a column, one is chosen that each of them can cast from.

    Args:
        problem: The problem.
        features: Its features.
    """
    views = features.views if features else {}
    types: dict[str, dict[str, Declaration]] = {}
    moments: dict[str, dict[str, str]] = {}
    if problem.examples.timestamp is not None:
        moments[problem.examples.table] = {problem.examples.timestamp.lower(): "problem.examples.timestamp"}
    keys = {name: {problem.examples.table: None} for name in problem.examples.entities}
    for name, view in views.items():
        table = _table_of(view, problem)
        if table is None:
            continue
        for column, one in _declared_by(name, view):
            of_table = types.setdefault(table, {})
            of_table[column.lower()] = _both(of_table.get(column.lower(), one), one)
        if not isinstance(view.source, str):
            if view.source.event_time:
                place = f"features.{name}.source.event_time"
                moments.setdefault(table, {}).setdefault(view.source.event_time.lower(), place)
            for key in view.key:
                keys.setdefault(key, {})[table] = None
    for column, key in problem.split.texts():
        own = Declaration("VARCHAR", f"problem.split.{key}")
        of_table = types.setdefault(problem.examples.table, {})
        of_table[column.lower()] = _both(of_table.get(column.lower(), own), own)
    sources = {name: _sources(table) for name, table in problem.tables.items()}
    for table, names in sources.items():
        _pass_on(names, types.get(table, {}), moments.get(table, {}))
    return Declared(types, moments, {name: tuple(tables) for name, tables in keys.items()}, sources)


def _pass_on(sources: Mapping[str, str], types: dict[str, Declaration], moments: dict[str, str]) -> None:
    """Let what is declared of a column hold for the one that it is under another name."""
    for name, source in sources.items():
        if name in types:
            types[source] = _both(types.get(source, types[name]), types[name])
        if name in moments:
            moments.setdefault(source, moments[name])


def _both(first: Declaration, second: Declaration) -> Declaration:
    """Whole numbers are numbers too, and all values are texts; truth values as numbers are left to the file."""
    if first.type == second.type:
        return first
    found = {first.type, second.type}
    type_ = "BIGINT" if found == {"BIGINT", "DOUBLE"} else "VARCHAR" if "VARCHAR" in found else ""
    return Declaration(type_, f"{first.by} and {second.by}")


def _table_of(view: FeatureViewSpec, problem: ProblemSpec) -> str | None:
    if isinstance(view.source, str):
        return problem.examples.table if view.is_request else None
    return view.source.table


def _declared_by(name: str, view: FeatureViewSpec) -> Iterator[tuple[str, Declaration]]:
    """Columns that are a feature's value as they stand, with the type that they must have for it."""
    for feature, one in view.features.items():
        column = _column(one.expression) if one.expression else feature if isinstance(one, ColumnFeature) else None
        type_ = TYPES.get(one.dtype) if isinstance(one, ColumnFeature) else one.event_type()
        if column and type_ and type_ in TYPES.values():
            yield column, Declaration(type_, f"{name}.{feature}")


def _column(expression: str) -> str | None:
    """The column that an expression is and nothing more; None when it is more."""
    match = _NAME.fullmatch(expression)
    if match is None or (match[1] or "").lower() in _CONSTANTS:
        return None
    return match[1] or match[2].replace('""', '"')


def _sources(table: TableSpec) -> dict[str, str]:
    """The columns of a source that derived ones are under another name, by that name, both in lower case."""
    found: dict[str, str] = {}
    for name, expression in table.columns.items():
        column = (_column(expression) or name).lower()
        if column != name.lower():
            found[name.lower()] = found.get(column, column)
    return found


def words_used(problem: ProblemSpec, features: FeaturesSpec | None) -> frozenset[str]:
    """Return every word, in lower case, of the SQL and the column names that a problem and its features hold.

    Names and texts in double quotes are among them as a whole too.
    """
    examples, label = problem.examples, problem.label
    texts = [examples.timestamp, *examples.entities, examples.group, examples.weight, label.expression, label.drop_when]
    texts += [*problem.auxiliary_labels.values(), *(column for column, _ in problem.split.columns())]
    for table in problem.tables.values():
        texts += [table.query, *table.columns.values()]
    for view in (features.views if features else {}).values():
        source = view.source
        texts += [] if isinstance(source, str) else [source.event_time]
        for name, one in view.features.items():
            texts += [one.expression or name, one.filter if isinstance(one, WindowFeature) else None]
    lower = [text.lower() for text in texts if text]
    words = {word for text in lower for word in re.findall(r'\w+|"(?:[^"]|"")+"', text)}
    return frozenset({*words, *(word for text in lower for word in re.findall(r"\w+", text)), *lower})


def is_used(column: str, words: frozenset[str]) -> bool:
    """Return whether a column may be named among words of SQL, in lower case."""
    parts = set(re.findall(r"\w+", column.lower()))
    return parts <= words if parts else bool({column.lower(), quote(column.lower())} & words)
