"""Features that know too much: made of what the label is made of, or predicting it better than anything can.

A leak that is declared is found without data. One that is not shows in a training set: a single feature, or whether it
is missing, that tells the classes apart almost alone is rarely knowledge and mostly the answer. How much one tells is
in :mod:`proml_kedro.features.training.telling`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.telling import is_binary, is_missing, tells
from proml_kedro.spec.features import FeatureSource, FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import TRAIN
from proml_kedro.spec.training_set import EXAMPLE_ID, LABEL, SPLIT

_ROWS = 50_000


def declared_leaks(problem: ProblemSpec, features: FeaturesSpec) -> Iterator[tuple[str, str]]:
    """Find features that are computed from what the label is computed from, before it can be known.

    Args:
        problem: The problem.
        features: Its features.

    Yields:
        ``view.field`` and what is wrong: request features of such columns, and windows over the examples' own table
        that take such columns to be known at the moment that the examples are about.
    """
    derived = {name.lower(): text for name, text in problem.tables[problem.examples.table].columns.items()}
    secret = _columns_of(problem.label.expression, derived)
    for name, view in features.views.items():
        if not _reads_too_early(problem, view):
            continue
        for field, feature in view.features.items():
            expressions = [feature.expression or field, getattr(feature, "filter", None) or ""]
            shared = sorted(secret & set().union(*(_columns_of(one, derived) for one in expressions)))
            if shared:
                yield f"{name}.{field}", _words(view, shared[0], problem)


def _reads_too_early(problem: ProblemSpec, view: FeatureViewSpec) -> bool:
    """Whether a view takes columns of the examples to be known no later than the examples' moment."""
    if isinstance(view.source, FeatureSource):
        same = (view.source.table, view.source.event_time) == (problem.examples.table, problem.examples.timestamp)
        return same and not view.source.delay
    return view.is_request


def _words(view: FeatureViewSpec, column: str, problem: ProblemSpec) -> str:
    if view.is_request:
        return f"is computed from '{column}', and so is the label: no request can bring it"
    moment = problem.examples.timestamp
    return f"takes '{column}', which the label is computed from, to be known at {moment}; give its source a delay"


def _columns_of(expression: str, derived: dict[str, str]) -> set[str]:
    """The columns of the file that an expression reads, in the end; lower case."""
    found: set[str] = set()
    waiting = [expression]
    seen: set[str] = set()
    while waiting:
        text = re.sub(r"'(?:[^']|'')*'", " ", waiting.pop())
        for name in {one.lower() for one in re.findall(r"[A-Za-z_]\w*(?!\w*\s*\()", text)} - seen:
            seen.add(name)
            if name in derived:
                waiting.append(derived[name])
            else:
                found.add(name)
    return {name for name in found if not _KEYWORD.fullmatch(name)}


_KEYWORD = re.compile(r"and|or|not|is|in|null|true|false|case|when|then|else|end|between|like|cast|as|interval")


def measured_leaks(
    training_set: Path,
    names: Iterable[str],
    hardware: HardwareSpec,
    classes: Sequence[str] = (),
    advance: Callable[[], object] = lambda: None,
) -> Iterator[tuple[str, str, bool]]:
    """Find features of a training set that predict its label almost alone; one that is a number is passed over.

    Args:
        training_set: The Parquet file.
        names: ``view.feature``; what the file lacks is passed over, and so are vectors.
        hardware: The machine.
        classes: Names of the label's classes, by its numbers; none of a binary label.
        advance: Called when a feature was looked at.

    Yields:
        The name, what was found, and whether it is certain enough for an error.
    """
    with connect(hardware) as session:
        rows = Tables(session, training_set.parent).relation(training_set.stem)
        chosen = [name for name in names if not rows.schema.get(name, "]").endswith("]")]
        columns = _sample(rows, chosen) if chosen else {}
    label = columns.pop(LABEL, np.zeros(0))
    if not classes and not is_binary(label):
        return
    for name, values in columns.items():
        advance()
        for found in tells(values, is_missing(values), label, classes):
            yield name, f"{found.what} alone predicts {found.of}: is it known when it is used?", found.is_certain


def _sample(rows: Relation, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The same rows every time, in no order that means anything."""
    columns = ", ".join([*(quote(name) for name in names), LABEL])
    query = f"SELECT {columns} FROM {rows} WHERE {SPLIT} = '{TRAIN}' ORDER BY hash({EXAMPLE_ID}) LIMIT {_ROWS}"
    table = rows.engine.arrow(query)
    return {name: np.asarray(table[name].to_numpy()) for name in table.column_names}
