"""Features that know too much: made of what the label is made of, or predicting it better than anything can.

A leak that is declared is found without data. One that is not shows in a training set: a single feature, or whether it
is missing, that tells the classes apart almost alone is rarely knowledge and mostly the answer.
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
from proml_kedro.formulas import auc
from proml_kedro.spec.features import FeatureSource, FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import TRAIN
from proml_kedro.spec.training_set import EXAMPLE_ID, LABEL, SPLIT

SUSPICIOUS, CERTAIN = 0.95, 0.99
"""Areas under the ROC curve from which a feature is warned of, and from which it is an error."""

_ROWS = 50_000
_LEAST_OF_A_CLASS = 50


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
    training_set: Path, names: Iterable[str], hardware: HardwareSpec, advance: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, str, bool]]:
    """Find features of a training set of a binary label that predict it almost alone.

    Args:
        training_set: The Parquet file.
        names: ``view.feature``; what the file lacks is passed over, and so are vectors.
        hardware: The machine.
        advance: Called when a feature was looked at.

    Yields:
        The name, what was found, and whether it is certain enough for an error.
    """
    with connect(hardware) as session:
        rows = Tables(session, training_set.parent).relation(training_set.stem)
        chosen = [name for name in names if not rows.schema.get(name, "]").endswith("]")]
        columns = _sample(rows, chosen) if chosen else {}
    label = columns.pop(LABEL, np.zeros(0))
    if not _is_binary(label):
        return
    for name, values in columns.items():
        advance()
        missing = _is_missing(values)
        for area, words in ((area_of(values[~missing], label[~missing]), "it"), (_auc(missing, label), "its absence")):
            if area >= SUSPICIOUS:
                message = f"{words} alone predicts the label (AUC {area:.3f}): is it known when it is used?"
                yield name, message, area >= CERTAIN


def _sample(rows: Relation, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The same rows every time, in no order that means anything."""
    columns = ", ".join([*(quote(name) for name in names), LABEL])
    query = f"SELECT {columns} FROM {rows} WHERE {SPLIT} = '{TRAIN}' ORDER BY hash({EXAMPLE_ID}) LIMIT {_ROWS}"
    table = rows.engine.arrow(query)
    return {name: np.asarray(table[name].to_numpy()) for name in table.column_names}


def _is_binary(label: npt.NDArray[Any]) -> bool:
    values, counts = np.unique(label, return_counts=True)
    return values.tolist() == [0, 1] and int(counts.min()) >= _LEAST_OF_A_CLASS


def _is_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([one is None or one != one for one in values], np.bool_)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)


def area_of(values: npt.NDArray[Any], label: npt.NDArray[Any]) -> float:
    """Compute the AUC of one feature against a binary label, in whichever direction it is larger.

    Text is first replaced by the label rate of its category, estimated on half of the rows and judged on the other.

    Args:
        values: Numbers, truth values or texts, none of them missing, shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        0 where there are fewer than 50 rows of a class.
    """
    if not _is_binary(label):
        return 0.0
    if values.dtype != object or not isinstance(values[0], str):
        return _auc(values.astype(np.float64), label)
    half = len(values) // 2
    known, category = np.unique(values[:half], return_inverse=True)
    rates = np.bincount(category, label[:half]) / np.bincount(category)
    place = np.minimum(np.searchsorted(known, values[half:]), len(known) - 1)
    overall = float(label[:half].mean())
    return _auc(np.where(known[place] == values[half:], rates[place], overall), label[half:])


def _auc(values: npt.NDArray[Any], label: npt.NDArray[Any]) -> float:
    """Compute the AUC of values, or of their opposite, whichever is larger; 0 for too few rows."""
    if not _is_binary(label):
        return 0.0
    area = auc(label, values)
    return max(area, 1 - area)
