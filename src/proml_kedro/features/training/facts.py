"""What the examples are, before any feature is joined to them: how many, of which label, in which split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from proml_kedro.engine.duckdb import enclosed, explain, microseconds, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.folds import check_folds
from proml_kedro.features.training.labels import kept, label_sql, rounded_sql, split_sql
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SPLITS
from proml_kedro.spec.training_set import SPLIT

LARGEST_LABEL = 1e30
"""Size of the largest label: trees hold 3e38, and errors are squared and summed."""


@dataclass(frozen=True)
class Facts:
    """What is known of the examples.

    Attributes:
        rows: Examples with a label.
        dropped: Those without one.
        splits: For each split its rows, mean label and first and last moment.
    """

    rows: int
    dropped: int
    splits: dict[str, dict[str, Any]]


def read_facts(problem: ProblemSpec, tables: Tables) -> Facts:
    """Count the examples, and check that every split can be learned from or judged by.

    Args:
        problem: The problem.
        tables: Its tables.

    Raises:
        UserError: Moments or labels are missing, a label is not what the task wants, a weight is negative, a split or
            one of its folds has no rows, or only one label.
    """
    table = tables.relation(problem.examples.table, numbered=True)
    try:
        splits = {one[SPLIT]: one for one in table.engine.records(_facts_sql(problem, tables))}
        (total,) = table.engine.row(f"SELECT count(*) FROM {table}")
    except EngineError as error:
        raise UserError.at("problem.label.expression", explain(error)) from error
    mistakes = [*_check_complete(problem, splits)] or [*_check_splits(problem, splits)]
    if problem.examples.timestamp is not None and not mistakes:
        mistakes = [*check_folds(problem, tables, max(one["last"] for one in splits.values()))]
    if mistakes:
        raise UserError(*mistakes)
    rows = sum(one["rows"] for one in splits.values())
    return Facts(rows, total - rows, {name: _facts_of(splits[name], problem) for name in SPLITS})


def _facts_sql(problem: ProblemSpec, tables: Tables) -> str:
    table = tables.relation(problem.examples.table)
    timestamp = problem.examples.timestamp
    moment = quote(timestamp) if timestamp else "CAST(NULL AS TIMESTAMPTZ)"
    weight = enclosed(problem.examples.weight or "1")
    type_, _ = table.check_expression(problem.label.expression, "problem.label.expression")
    classes = ", histogram(CAST(__label AS INTEGER)) AS classes" if problem.label.task == "multiclass" else ""
    return f"""
        SELECT __split AS {SPLIT}, count(*) AS rows, min({moment}) AS first, max({moment}) AS last,
            avg(__label) AS mean, min(__label) AS least, max(__label) AS most,
            count(*) FILTER ({moment} IS NULL) AS no_moment,
            count(*) FILTER ({_day_before(moment, problem)}) AS day_before,
            count(*) FILTER (__label IS NULL OR NOT isfinite(__label)) AS no_label,
            count(*) FILTER (isfinite(__label) AND abs(__label) > {LARGEST_LABEL}) AS too_large,
            count(*) FILTER (__rounded) AS rounded,
            count(*) FILTER (__label < 0 OR __label != floor(__label)) AS no_count,
            sum(__weight) AS total_weight{classes},
            count(*) FILTER (__weight IS NULL OR NOT __weight >= 0 OR isinf(__weight)) AS no_weight
        FROM (
            SELECT *, {split_sql(problem, table.schema)} AS __split,
                {label_sql(problem)} AS __label, {rounded_sql(problem, type_)} AS __rounded,
                CAST({weight} AS DOUBLE) AS __weight
            FROM {table} WHERE {kept(problem)})
        GROUP BY 1"""


def _day_before(moment: str, problem: ProblemSpec) -> str:
    """The condition for a moment to be midnight of a day in UTC, and of another one in the split's time zone."""
    other = f"CAST({problem.split.local(moment)} AS DATE) != CAST(timezone('UTC', {moment}) AS DATE)"
    return f"epoch_us({moment}) % {microseconds(timedelta(days=1))} = 0 AND {other}"


def _facts_of(split: Mapping[str, Any], problem: ProblemSpec) -> dict[str, Any]:
    first, last = (split[one] and split[one].isoformat() for one in ("first", "last"))
    facts = {"rows": split["rows"], "label_mean": split["mean"], "from": first, "to": last}
    if problem.label.task != "multiclass":
        return facts
    counts = {name: split["classes"].get(code, 0) for code, name in enumerate(problem.label.classes)}
    return facts | {"label_mean": None, "classes": counts}


def _check_complete(problem: ProblemSpec, splits: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    rows, no_moment, no_label, too_large, rounded, no_count, no_weight = (
        sum(one[name] for one in splits.values())
        for name in ("rows", "no_moment", "no_label", "too_large", "rounded", "no_count", "no_weight")
    )
    if not rows:
        yield Mistake("problem.label.drop_when", "drops every example")
    if no_moment and problem.examples.timestamp is not None:
        message = f"'{problem.examples.timestamp}' is null in {no_moment:,} of {rows:,} examples; leave them out"
        yield Mistake("problem.examples.timestamp", f"{message} with label.drop_when")
    if rows and rows == sum(one["day_before"] for one in splits.values()):
        message = f"'{problem.examples.timestamp}' holds dates, which are midnights of UTC: in {problem.split.timezone}"
        yield Mistake("problem.split.timezone", f"{message} each would be taken for the day before; leave it out")
    if no_label:
        message = f"is null or not finite for {no_label:,} of {rows:,} examples; leave them out with drop_when"
        yield Mistake("problem.label.expression", message)
    if too_large:
        message = f"is beyond ±{LARGEST_LABEL:g} for {too_large:,} of {rows:,} examples, whose squares have no meaning"
        yield Mistake("problem.label.expression", f"{message}; divide it, or take its logarithm")
    if rounded:
        message = f"is a whole number beyond 2^53 for {rounded:,} of {rows:,} examples, which float64 rounds"
        yield Mistake("problem.label.expression", f"{message}; take an origin off it, or another unit")
    if no_count and problem.label.task == "count":
        message = f"is negative or not a whole number for {no_count:,} of {rows:,} examples; is the task 'regression'?"
        yield Mistake("problem.label.expression", message)
    if nowhere := sum(one["rows"] for name, one in splits.items() if name not in SPLITS):
        message = f"{nowhere:,} of {rows:,} examples are in none of {', '.join(SPLITS)}; leave them out"
        yield Mistake("problem.split", f"{message} with label.drop_when{_otherwise(problem)}")
    if no_weight:
        message = f"is negative, null or infinite for {no_weight:,} of {rows:,} examples"
        yield Mistake("problem.examples.weight", message)


def _otherwise(problem: ProblemSpec) -> str:
    return ", or say where they belong with otherwise" if "otherwise" in type(problem.split).model_fields else ""


def _check_splits(problem: ProblemSpec, splits: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    period = ""
    if problem.examples.timestamp is not None:
        first, last = min(one["first"] for one in splits.values()), max(one["last"] for one in splits.values())
        period = f"; the data goes from {first.isoformat()} to {last.isoformat()}"
    part = "period" if problem.split.is_by_time else "part"
    for name in SPLITS:
        if name not in splits:
            key = ".".join(one for one in ("problem.split", problem.split.key_of(name)) if one)
            yield Mistake(key, f"no example is in the {name} {part}{period}")
        elif splits[name]["least"] == splits[name]["most"]:
            value = splits[name]["least"]
            message = f"is {_in_words(value, problem)} for all {splits[name]['rows']:,} examples of the {name} {part}"
            yield Mistake("problem.label.expression", message)
        elif not splits[name]["total_weight"]:
            yield Mistake("problem.examples.weight", f"is 0 for every example of the {name} {part}")


def _in_words(value: float, problem: ProblemSpec) -> str:
    """A label as the user knows it."""
    if problem.label.task == "multiclass":
        return f"'{problem.label.classes[int(value)]}'"
    return ("true" if value else "false") if problem.label.task == "binary" else f"{value:g}"
