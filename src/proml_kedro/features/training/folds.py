"""The folds of a split: whether each can be learned from and judged by, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from proml_kedro.engine.duckdb import literal, moment_literal, quote
from proml_kedro.errors import Mistake
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.labels import kept, label_sql
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SPLITS, TEST, TRAIN, VALIDATION, Fold
from proml_kedro.spec.training_set import SPLIT


def fold_sql(moment: str, fold: Fold) -> str:
    """Return the split of each example in a fold, in SQL; null for those that are later than the fold.

    Args:
        moment: The example's moment, in SQL.
        fold: The fold.
    """
    validation, test, end = map(moment_literal, (fold.validation_from, fold.test_from, fold.end))
    return (
        f"CASE WHEN {moment} < {validation} THEN {literal(TRAIN)} WHEN {moment} < {test} THEN {literal(VALIDATION)} "
        f"WHEN {moment} < {end} THEN {literal(TEST)} END"
    )


def check_folds(problem: ProblemSpec, tables: Tables, newest: datetime) -> Iterator[Mistake]:
    """Find folds before the last one that lack examples, or labels to tell apart; one mistake is enough.

    Args:
        problem: The problem, with the classes of its label.
        tables: Its tables.
        newest: Moment of the last example.
    """
    folds = problem.split.folds_until(newest)
    for number, fold in enumerate(folds[:-1], 1):
        lacks = _lacks(_parts(problem, tables, fold), problem)
        if lacks:
            where = f"in fold {number} of {len(folds)}, tested from {_minute(fold.test_from)} to {_minute(fold.end)}, "
            yield Mistake("problem.split.folds", f"{where}{lacks}; take fewer folds, or a longer every")
            return


def _parts(problem: ProblemSpec, tables: Tables, fold: Fold) -> dict[str, dict[str, Any]]:
    table, moment = tables.relation(problem.examples.table), quote(problem.examples.timestamp or "")
    classes = ", list(DISTINCT label) AS classes" if problem.label.task == "multiclass" else ""
    columns = f"{fold_sql(moment, fold)} AS {SPLIT}, {label_sql(problem)} AS label"
    query = f"""
        SELECT {SPLIT}, count(*) AS rows, count(DISTINCT label) AS labels{classes}
        FROM (SELECT {columns} FROM {table} WHERE {kept(problem)}) WHERE {SPLIT} IS NOT NULL GROUP BY 1"""
    return {one[SPLIT]: one for one in table.engine.records(query)}


def _lacks(parts: Mapping[str, Mapping[str, Any]], problem: ProblemSpec) -> str:
    for name in SPLITS:
        if name not in parts:
            return f"no example is in the {name} period"
        if parts[name]["labels"] < 2:
            return f"all labels of the {name} period are the same"
    if problem.label.task == "multiclass":
        missing = set(range(len(problem.label.classes))) - set(map(int, parts[TRAIN]["classes"]))
        if missing:
            return f"no example of the train period is of class '{problem.label.classes[min(missing)]}'"
    return ""


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()
