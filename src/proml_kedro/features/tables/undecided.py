"""Moments that were read and can still be two: by their format, or by the time zone that their days are of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from proml_kedro.engine.duckdb import quote
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.declared import declare, is_used, words_used
from proml_kedro.results import TablesFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec

_UTC = ("UTC", "Etc/UTC", "GMT", "Etc/GMT")


def refuse_undecided(problem: ProblemSpec, features: FeaturesSpec | None, folder: Path) -> None:
    """Refuse moments that can be read in two ways, as ``split.timezone`` and features use tables that were read before.

    Args:
        problem: The problem.
        features: Its features; None for none.
        folder: The tables.

    Raises:
        UserError: There are such columns.
    """
    words, facts = words_used(problem, features), TablesFacts.read(folder)
    mistakes = [
        Mistake(f"problem.tables.{table}.date_format.{name}", _two_ways(name, one.undecided))
        for table, columns in facts.columns.items()
        for name, one in columns.items()
        if one.undecided and is_used(name, words)
    ]
    if problem.split.timezone not in _UTC:
        mistakes += _of_two_zones(problem, features, facts)
    if mistakes:
        raise UserError(*mistakes)


def _two_ways(name: str, formats: Sequence[str]) -> str:
    lines = " or ".join(f'date_format: {{{name}: "{one}"}}' for one in formats)
    return f"every cell of '{name}' can be read in {len(formats)} ways; write {lines}"


def _of_two_zones(problem: ProblemSpec, features: FeaturesSpec | None, facts: TablesFacts) -> Iterator[Mistake]:
    """Find moments without a time zone where days are those of a zone: its clocks may show them, or those of UTC."""
    zone, declared = problem.split.timezone, declare(problem, features)
    for table, moments in declared.moments.items():
        derived = {one.lower() for one in problem.tables[table].columns}
        for name in facts.local.get(table, ()):
            if name.lower() not in moments:
                continue
            if name.lower() in derived:
                remedy = f"put its expression into timezone('UTC', …), or timezone('{zone}', …)"
            else:
                # The mark of a zone makes a later cell that has one of its own fail, whose zone would be dropped.
                values = (json.dumps(f"timezone('{one}', ({quote(name)} || ' Z')::timestamp)") for one in ("UTC", zone))
                lines = (f"columns: {{{name}: {one}}}" for one in values)
                remedy = f"write {' or '.join(lines)}"
            message = (
                f"the times of '{name}' have no time zone and split.timezone is {zone}, so they can be two moments"
            )
            yield Mistake(f"problem.tables.{table}.columns.{name}", f"{message}; {remedy}")
