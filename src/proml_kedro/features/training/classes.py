"""The classes of a label: those that are declared, or those of the training part, and who has which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proml_kedro.engine.duckdb import enclosed, explain
from proml_kedro.engine.errors import EngineError
from proml_kedro.errors import Mistake, UserError, did_you_mean
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.labels import kept, split_sql
from proml_kedro.spec.problem import MOST_CLASSES, ProblemSpec
from proml_kedro.spec.split import SPLITS, TRAIN

_NAMED = 3
"""How many classes a message names."""

_KEY, _LIST = "problem.label.expression", "problem.label.classes"


def with_classes(problem: ProblemSpec, tables: Tables) -> ProblemSpec:
    """Return the problem with the classes of its label: as declared, or those of the training part, sorted.

    Whole numbers are sorted as numbers, text by its code points.

    Args:
        problem: The problem; one without classes is returned as it is.
        tables: Its tables.

    Raises:
        UserError: There are too many classes, or examples of a class that is not declared, or that training has no
            example of: nothing could be learned of it, and what a model says of it would be no probability.
    """
    if problem.label.task != "multiclass":
        return problem
    found = _read(problem, tables)
    if mistakes := list(_check(problem, found)):
        raise UserError(*mistakes)
    classes = problem.label.classes or _sorted(found.get(TRAIN, {}), _is_text(problem, tables))
    return problem.model_copy(update={"label": problem.label.model_copy(update={"classes": classes})})


def _read(problem: ProblemSpec, tables: Tables) -> dict[str, dict[str, int]]:
    """Count the examples of each class in each split; missing labels are passed over."""
    table = tables.relation(problem.examples.table, numbered=True)
    query = f"""
        SELECT split, label, count(*) FROM (
            SELECT {split_sql(problem, table.schema)} AS split,
                CAST({enclosed(problem.label.expression)} AS VARCHAR) AS label
            FROM {table} WHERE {kept(problem)})
        WHERE label IS NOT NULL GROUP BY 1, 2 LIMIT {3 * (MOST_CLASSES + 1) + 1}"""
    found: dict[str, dict[str, int]] = {}
    try:
        for split, label, count in table.engine.rows(query):
            found.setdefault(split, {})[label] = count
    except EngineError as error:
        raise UserError.at(_KEY, explain(error)) from error
    return found


def _check(problem: ProblemSpec, found: Mapping[str, Mapping[str, int]]) -> Iterator[Mistake]:
    classes = problem.label.classes
    every = {name for counts in found.values() for name in counts}
    if len(every) > MOST_CLASSES:
        yield Mistake(_KEY, f"has more than {MOST_CLASSES:,} classes; group the rare ones, or is it a number?")
        return
    unknown = sorted(every - set(classes)) if classes else []
    if unknown:
        rows = sum(counts.get(name, 0) for counts in found.values() for name in unknown)
        hint = did_you_mean(unknown[0], classes)
        message = f"does not name {_names(unknown)}, which {rows:,} examples have; name it, or leave them out with"
        yield Mistake(_LIST, f"{message} label.drop_when.{hint}")
        return
    learned = found.get(TRAIN, {})
    for split in SPLITS[1:]:
        new = {name: count for name, count in found.get(split, {}).items() if name not in learned}
        if new:
            message = f"{_names(sorted(new))} {'is' if len(new) == 1 else 'are'} the class of {sum(new.values()):,}"
            message += f" examples of {split} and of none of train, which cannot learn it; divide otherwise"
            yield Mistake(_KEY, f"{message}, or leave them out with label.drop_when")
    never = [name for name in classes if name not in every]
    if never and learned:
        yield Mistake(_LIST, f"names {_names(never)}, of which there is no example: nothing can be learned of it")


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{one}'" for one in names[:_NAMED]) + more


def _is_text(problem: ProblemSpec, tables: Tables) -> bool:
    type_, _ = tables.relation(problem.examples.table).check_expression(problem.label.expression, _KEY)
    return type_ == "VARCHAR"


def _sorted(names: Mapping[str, Any], is_text: bool) -> list[str]:
    return sorted(names) if is_text or not all(one.lstrip("-").isdigit() for one in names) else sorted(names, key=int)
