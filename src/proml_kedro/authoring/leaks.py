"""Columns that say what is to be predicted: equal to the label, told by it, or known only afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.authoring.label import Label
from proml_kedro.authoring.look import Table
from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Engine
from proml_kedro.features.training.telling import CERTAIN, SUSPICIOUS, is_missing, tells

_ROWS = 50_000
_AT_ONCE = 200
_TOGETHER = 0.5
"""Part of the rows without a value or without a label that lack both, from which the one waits for the other."""
_FEW = 30
"""Rows below which a correlation says nothing."""


def known_afterwards(table: Table, label: Label) -> Iterator[tuple[str, str]]:
    """Find columns that are missing where the label is: what both wait for is not known before.

    Args:
        table: The table that has the label.
        label: The label.

    Yields:
        The column, and why it is left out.
    """
    names = [one.name for one in table.columns.values() if one.name != label.column and one.known < table.count]
    if label.drop_when is None or not names:
        return
    missing = f"{quote(label.column)} IS NULL"
    both = ", ".join(f"count(*) FILTER ({missing} AND {quote(name)} IS NULL)" for name in names)
    one = ", ".join(f"count(*) FILTER ({missing} OR {quote(name)} IS NULL)" for name in names)
    together, either = (table.rows.engine.row(f"SELECT {what} FROM {table.rows}") for what in (both, one))
    for name, here, there in zip(names, together, either, strict=True):
        if here >= _TOGETHER * there:
            yield (
                name,
                f"is missing in {here:,} of the {there:,} rows without it or without the label: known afterwards",
            )


def measured(rows: str, columns: Sequence[str], task: str, engine: Engine) -> Iterator[tuple[str, str, bool]]:
    """Find columns that tell the label almost alone.

    Args:
        rows: Rows with the columns, ``label_`` and their number ``rowid_``, as stands after FROM.
        columns: The columns.
        task: Sort of label.
        engine: What reads them.

    Yields:
        The column, what was found, and whether it is certain enough to leave the column out.
    """
    for start in range(0, len(columns), _AT_ONCE):
        part = columns[start : start + _AT_ONCE]
        names = ", ".join(map(quote, part))
        # The same rows every time, in no order that means anything.
        found = engine.arrow(
            f"SELECT {names}, label_ FROM {rows} WHERE label_ IS NOT NULL ORDER BY hash(rowid_) LIMIT {_ROWS}"
        )
        label = np.asarray(found["label_"].to_numpy())
        classes: list[str] = []
        if task == "multiclass":
            names_, label = np.unique(label, return_inverse=True)
            classes = names_.tolist()
        for name in part:
            column = _plain(np.asarray(found[name].to_numpy(zero_copy_only=False)))
            told = _followed(column, label) if task == "regression" else _told(column, label, classes)
            yield from ((name, *one) for one in told)


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values as float64, with not-a-number for missing ones; texts as they are."""
    if values.dtype != object:
        return values.astype(np.float64)
    known = [one for one in values[:1000] if one is not None]
    if known and isinstance(known[0], str):
        return values
    return np.array([np.nan if one is None else float(one) for one in values])


def _told(values: npt.NDArray[Any], label: npt.NDArray[Any], classes: Sequence[str]) -> Iterator[tuple[str, bool]]:
    found = max(tells(values, is_missing(values), label, classes), key=lambda one: one.is_certain, default=None)
    if found:
        yield f"{found.what} alone tells {found.of}", found.is_certain


def _followed(values: npt.NDArray[Any], label: npt.NDArray[Any]) -> Iterator[tuple[str, bool]]:
    if values.dtype == object:
        return
    known = ~is_missing(values)
    if known.sum() >= _FEW and (found := _correlation(values[known], label[known])) >= SUSPICIOUS:
        yield f"it follows the label (correlation {found:.3f})", found >= CERTAIN


def _correlation(values: npt.NDArray[Any], label: npt.NDArray[Any]) -> float:
    """Larger one of the absolute correlations of values and of ranks."""
    if values.min() == values.max() or label.min() == label.max():
        return 0.0
    pairs = ((values, label), (_ranks(values), _ranks(label)))
    return max(abs(float(np.corrcoef(one, two)[0, 1])) for one, two in pairs)


def _ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)
