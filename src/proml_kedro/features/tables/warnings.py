"""What is odd about tables that were read, one line each, with the figure. Nothing of it stops a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from proml_kedro.engine.duckdb import quote
from proml_kedro.features.tables.keys import key_sql, key_warnings
from proml_kedro.features.tables.statistics import column_statistics
from proml_kedro.features.tables.stored import Tables
from proml_kedro.results import KeyFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec

_FEW = 0.01
"""Share of examples with a match, below which a view is spoken of."""
_SPELLINGS = 50
"""Different texts of a label, beyond which it is no class."""


def warnings_of(
    problem: ProblemSpec, features: FeaturesSpec | None, tables: Tables, keys: Mapping[str, KeyFacts]
) -> Iterator[str]:
    """Find what is odd.

    Args:
        problem: The problem.
        features: Its features; None for none.
        tables: The tables that were read.
        keys: What was decided on keys.
    """
    yield from key_warnings(tables, keys)
    if features:
        yield from _unmatched(problem, features, tables, keys)
    yield from _doubled(problem, tables)
    yield from _spellings(problem, tables)
    for name in problem.tables:
        yield from _constant(name, tables)


def _unmatched(
    problem: ProblemSpec, features: FeaturesSpec, tables: Tables, keys: Mapping[str, KeyFacts]
) -> Iterator[str]:
    examples = problem.examples.table
    seen: dict[tuple[str, tuple[str, ...]], tuple[int, int]] = {}
    for name, view in features.views.items():
        if isinstance(view.source, str) or not set(view.key) <= set(keys):
            continue
        place = view.source.table, tuple(view.key)
        if any(table not in keys[key].forms for key in view.key for table in (examples, view.source.table)):
            continue  # a column that is not there is said elsewhere
        if place not in seen:
            seen[place] = _matched(tables, examples, *place, keys)
        total, matched = seen[place]
        if total and matched < _FEW * total:
            key = ", ".join(view.key)
            yield f"view {name}: {matched:,} of {total:,} examples have a row of '{view.source.table}' with their {key}"


def _matched(
    tables: Tables, examples: str, table: str, names: tuple[str, ...], keys: Mapping[str, KeyFacts]
) -> tuple[int, int]:
    """How many examples have all keys, and how many of them are in a table."""
    left, right = (_keyed(tables, one, names, keys) for one in (examples, table))
    same = " AND ".join(f"e.{quote(name)} = t.{quote(name)}" for name in names)
    total, matched = tables.session.row(
        f"SELECT count(*), count(*) FILTER (EXISTS (SELECT 1 FROM {right} t WHERE {same})) FROM {left} e"
    )
    return total, matched


def _keyed(tables: Tables, table: str, names: tuple[str, ...], keys: Mapping[str, KeyFacts]) -> str:
    rows = tables.relation(table)
    sql = {name: key_sql(name, table, keys[name], rows.type_of(name) or "") for name in names}
    columns = ", ".join(f"{one} AS {quote(name)}" for name, one in sql.items())
    present = " AND ".join(f"{one} IS NOT NULL" for one in sql.values())
    return f"(SELECT {columns} FROM {rows} WHERE {present})"


def _doubled(problem: ProblemSpec, tables: Tables) -> Iterator[str]:
    examples = problem.examples
    names = [*examples.entities, *([examples.timestamp] if examples.timestamp else [])]
    if not names:
        return  # equal rows of a plain table may be different things
    by = ", ".join(map(quote, names))
    rows = tables.relation(examples.table)
    (again,) = tables.session.row(
        f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {rows} GROUP BY {by})"
    )
    if again:
        what = ", ".join(names)
        yield f"{examples.table}: {again:,} examples repeat the {what} of another one"


def _spellings(problem: ProblemSpec, tables: Tables) -> Iterator[str]:
    """Columns in the label's expression that hold the same word in several spellings."""
    rows = tables.relation(problem.examples.table)
    words = set(re.findall(r"\w+", problem.label.expression.lower()))
    for name, type_ in rows.schema.items():
        if type_ != "VARCHAR" or name.lower() not in words:
            continue
        column = quote(name)
        (different,) = tables.session.row(f"SELECT approx_count_distinct({column}) FROM {rows}")
        if different > _SPELLINGS:
            continue
        same = f"SELECT list(DISTINCT {column} ORDER BY {column}) AS n FROM {rows} GROUP BY lower(trim({column}))"
        for (texts,) in tables.session.rows(f"SELECT n FROM ({same}) WHERE len(n) > 1 ORDER BY n"):
            spelled = " and ".join(repr(one) for one in texts[:3])
            yield f"{problem.examples.table}.{name}: {spelled} are different labels"


def _constant(name: str, tables: Tables) -> Iterator[str]:
    # Only columns that the file's own statistics do not show to have two values are looked at.
    equal = [column for column, one in column_statistics(tables.file(name)).items() if len(one.bounds) < 2]
    if not equal:
        return
    # Bounds, for which a column needs no memory, in place of a count of different values.
    bounds = "CASE WHEN max({0}) IS NULL THEN 0 WHEN min({0}) = max({0}) THEN 1 ELSE 2 END"
    counts = ", ".join(bounds.format(quote(column)) for column in equal)
    rows, *values = tables.session.row(f"SELECT count(*), {counts} FROM {tables.relation(name)}")
    for column, different in zip(equal, values, strict=True):
        if rows > 1 and different < 2:
            yield f"{name}.{column}: {'no value' if not different else 'one value only'} in {rows:,} rows"
