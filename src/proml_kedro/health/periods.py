"""Periods of a training set: what counts as normal, what is current, and what normal change looked like before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.columns import read_columns
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.split import TRAIN, SplitName
from proml_kedro.spec.training_set import LABEL, SCORE, SPLIT, TIMESTAMP

MOST_CLASSES = 20
"""How many classes are watched by their probabilities too; of more the most probable one alone."""

MOST_PERIODS = 16


class History:
    """The rows of a training set in time, with the model's score.

    Args:
        file: ``training_set.parquet``.
        graph: The fitted model; the features among its inputs are the columns that are watched.
        classes: Names of the label's classes; empty for other tasks.
    """

    def __init__(self, file: Path, graph: ModelGraph, classes: Sequence[str] = ()) -> None:
        self._file, self._classes = file, classes
        self._graph = graph
        self._split = cache(self._part)
        # A key says who a row is about: that other members come tomorrow is no drift.
        self.inputs = (*(one for one in graph.inputs if not one.is_entity), *self._scores())

    def sides(self, monitoring: MonitoringSpec, current: Columns | None = None) -> tuple[Columns, Columns]:
        """Take reference and current data.

        Args:
            monitoring: What is compared.
            current: Current rows of a file; the reference then ends with the training set.
        """
        now = self._end_of(monitoring.current.split, monitoring.current.last) if current is None else current
        reference = monitoring.reference
        columns, moments = self._split(None)
        if reference.split is not None or not len(moments):
            return self._end_of(reference.split or TRAIN, reference.last), now
        end = self._start(monitoring) if current is None else moments.max() + _TICK
        return _take(columns, _between(moments, *_window(end, monitoring))), now

    def _start(self, monitoring: MonitoringSpec) -> Any:
        """The moment at which the current rows begin; that after the last row without such rows."""
        last, moments = monitoring.current.last, self._split(monitoring.current.split)[1]
        if not len(moments):
            return self._split(None)[1].max() + _TICK
        return moments.max() + _TICK - np.timedelta64(last) if last else moments.min()

    def _end_of(self, split: str, last: timedelta | None) -> Columns:
        """Take the last part of a split, of this length; all of it when None, and where rows have no moments."""
        columns, moments = self._split(split)
        if last is None or not len(moments):
            return columns
        return _take(columns, moments > moments.max() - np.timedelta64(last))

    def with_score(self, columns: Columns) -> Columns:
        """Add the model's score to columns; no score when an input is missing or of another type."""
        complete = all(
            one.name in columns and (columns[one.name].dtype == object) == one.is_categorical
            for one in self._graph.inputs
        )
        return {**columns, **self._scored(columns)} if complete else columns

    def _scores(self) -> list[Input]:
        """The columns that the model's score is watched by."""
        each = self._classes if len(self._classes) <= MOST_CLASSES else ()
        return [Input(SCORE, "str" if self._classes else "float"), *(Input(_of_class(name), "float") for name in each)]

    def _scored(self, columns: Columns) -> Columns:
        score = self._graph.score(columns)
        if not self._classes:
            return {SCORE: score}
        each = {_of_class(name): score[:, number] for number, name in enumerate(self._classes)}
        watched = {one.name for one in self._scores()}
        most = np.array(self._classes, object)[score.argmax(axis=1)]
        return {SCORE: most, **{name: values for name, values in each.items() if name in watched}}

    def periods(self, monitoring: MonitoringSpec) -> Iterator[tuple[Columns, Columns]]:
        """Cut pairs of earlier periods out of what lies before the current data, as long as both sides are.

        From the end backwards, one for each length of the current data, at most :data:`MOST_PERIODS`; with a fixed
        reference out of its split. The earliest references may be shorter than they should be, but never shorter than
        the current data: a rough measure of normal change is better than none.
        """
        is_fixed = monitoring.reference.split is not None
        columns, moments = self._split(monitoring.reference.split)
        length = np.timedelta64(monitoring.current.last or timedelta(days=7))
        if not len(moments):
            return
        follows = is_fixed or monitoring.current.path is not None
        end = moments.max() + _TICK if follows else self._start(monitoring)
        for number in range(MOST_PERIODS):
            now = (end - (number + 1) * length, end - number * length)
            then = _window(now[0], monitoring)
            if then[1] - length < moments.min():
                return
            pair = _between(moments, *then), _between(moments, *now)
            if pair[0].any() and pair[1].any():
                yield _take(columns, pair[0]), _take(columns, pair[1])

    def _part(self, split: SplitName | None) -> tuple[Columns, Array]:
        """The rows of a split, or all, with their moments; no moments where the training set has none."""
        if split is None:
            return self._read()
        import pyarrow.parquet as pq

        columns, moments = self._split(None)
        chosen = pq.read_table(self._file, columns=[SPLIT])[SPLIT].to_numpy() == split
        return _take(columns, chosen), moments[chosen] if len(moments) else moments

    def _read(self) -> tuple[Columns, Array]:
        import pyarrow.parquet as pq

        names = pq.read_schema(self._file).names
        columns = self.with_score(read_columns(self._file, self._graph.inputs))
        if not self._classes and LABEL in names:
            label = pq.read_table(self._file, columns=[LABEL])[LABEL]
            columns = {**columns, LABEL: label.to_numpy().astype(np.float64)}
        if TIMESTAMP not in names:
            return columns, np.zeros(0, "datetime64[us]")
        return columns, pq.read_table(self._file, columns=[TIMESTAMP])[TIMESTAMP].to_numpy()


_TICK = np.timedelta64(1, "us")


def _window(end: Any, monitoring: MonitoringSpec) -> tuple[Any, Any]:
    """From and until when the reference is of current rows that begin at ``end``; the end is not in it."""
    current = np.timedelta64(monitoring.current.last or timedelta(days=7))
    length = np.timedelta64(monitoring.reference.last) if monitoring.reference.last else 4 * current
    if monitoring.reference.ago is not None:  # around the same days of an earlier season
        end = end + (current + length) / 2 - np.timedelta64(monitoring.reference.ago)
    return end - length, end


def _between(moments: Array, begin: Any, end: Any) -> Array:
    inside: Array = (moments >= begin) & (moments < end)
    return inside


def _of_class(name: str) -> str:
    """Name the column of a class's probability: no feature's name has a space in it."""
    return f"{SCORE} of {name}"


def _take(columns: Mapping[str, Array], rows: Array) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
