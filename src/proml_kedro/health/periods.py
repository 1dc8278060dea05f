"""Periods of a training set: what counts as normal, what is current, and what normal change looked like before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np

from proml_kedro.models.columns import in_split, read_columns
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.split import SplitName
from proml_kedro.spec.training_set import TIMESTAMP

SCORE = "score"
"""The model's probability, watched like any column; of several classes the most probable one."""

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
        self._split = cache(self._read)
        # A key says who a row is about: that other members come tomorrow is no drift.
        self.inputs = (*(one for one in graph.inputs if not one.is_entity), *self._scores())

    def end_of(self, split: str, last: timedelta | None) -> Columns:
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
        """Cut pairs of earlier periods out of the reference's split, as long as reference and current data are.

        From the end of the split backwards, one for each length of the current data, at most
        :data:`MOST_PERIODS`. The earliest references may be shorter than that, but never shorter than the current
        data: a rough measure of normal change is better than none.
        """
        columns, moments = self._split(monitoring.reference.split)
        length = np.timedelta64(monitoring.current.last or timedelta(days=7))
        before = np.timedelta64(monitoring.reference.last) if monitoring.reference.last else 4 * length
        for number in range(MOST_PERIODS if len(moments) else 0):
            end = moments.max() - number * length
            if end - 2 * length < moments.min():
                return
            now = (moments > end - length) & (moments <= end)
            then = (moments > end - length - before) & (moments <= end - length)
            if now.any() and then.any():
                yield _take(columns, then), _take(columns, now)

    def _read(self, split: SplitName) -> tuple[Columns, Array]:
        import pyarrow.parquet as pq

        rows = in_split(split)
        columns = self.with_score(read_columns(self._file, self._graph.inputs, rows))
        if TIMESTAMP not in pq.read_schema(self._file).names:
            return columns, np.zeros(0, "datetime64[us]")
        moments = pq.read_table(self._file, columns=[TIMESTAMP], filters=rows)[TIMESTAMP].to_numpy()
        return columns, moments


def _of_class(name: str) -> str:
    """Name the column of a class's probability: no feature's name has a space in it."""
    return f"{SCORE} of {name}"


def _take(columns: Mapping[str, Array], rows: Array) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
