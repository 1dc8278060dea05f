"""Periods of a training set: what counts as normal, what is current, and what normal change looked like before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.arrow_arrays import as_floats, as_texts
from proml_kedro.models.columns import as_array
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.split import TRAIN, SplitName
from proml_kedro.spec.training_set import LABEL, SCORE, SPLIT, TIMESTAMP

MOST_CLASSES = 20
"""How many classes are watched by their probabilities too; of more the most probable one alone."""

MOST_PERIODS = 16

MOST_CELLS, LEAST_ROWS = 1 << 24, 20_000
"""Of a training set with more values a sample of its rows is held, but no fewer rows than these. The same whatever the
machine, and so is a verdict."""

_CELLS = 1 << 22  # of rows that are read and scored at a time


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
        """Add the model's score to columns; no score when an input is missing or of another type.

        A score that is there already stays: what was served is judged, and not what should have been.
        """
        complete = all(
            one.name in columns and (columns[one.name].dtype == object) == one.is_categorical
            for one in self._graph.inputs
        )
        return {**self._scored(columns), **columns} if complete and SCORE not in columns else columns

    @property
    def given(self) -> list[Input]:
        """What a file of current rows may have beside inputs: a score that is a number, and the label."""
        return [] if self._classes else [Input(SCORE, "float"), Input(LABEL, "float")]

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
        rows = self._rows
        if split is None:
            return rows.columns, rows.moments
        chosen = rows.splits == split
        return _take(rows.columns, chosen), rows.moments[chosen] if len(rows.moments) else rows.moments

    @cached_property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of how the past was read: that it is a sample."""
        kept, rows = len(self._rows.splits), self._rows.of
        return (f"of {rows:,} rows of the training set {kept:,} are compared, a sample",) if kept < rows else ()

    @cached_property
    def _rows(self) -> _Rows:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._file) as file:
            rows = file.metadata.num_rows
            width = sum(one.size or 1 for one in self.inputs)
            share = max(LEAST_ROWS, MOST_CELLS // width) / max(1, rows)
            parts = list(self._parts(file, share)) or [self._as_part(file.schema_arrow.empty_table())]
        names = list(parts[0][0])
        columns = {name: np.concatenate([one.pop(name) for one, _, _ in parts]) for name in names}
        moments, splits = (np.concatenate([one[place] for one in parts]) for place in (1, 2))
        return _Rows(columns, moments, splits, rows)

    def _parts(self, file: Any, share: float) -> Iterator[tuple[dict[str, Array], Array, Array]]:
        """Read rows some at a time, of more than are held a sample: the same one on each machine."""
        import pyarrow as pa

        random = np.random.default_rng(0)
        names = [one.name for one in self._graph.inputs]
        read = list(dict.fromkeys([*names, SPLIT, *({LABEL, TIMESTAMP} & set(file.schema_arrow.names))]))
        for batch in file.iter_batches(max(1, _CELLS // len(read)), columns=read, use_threads=False):
            if share < 1:
                batch = batch.filter(pa.array(random.random(batch.num_rows) < share))
            if batch.num_rows:
                yield self._as_part(batch)

    def _as_part(self, batch: Any) -> tuple[dict[str, Array], Array, Array]:
        """Columns with score and label, moments and splits of a batch of Arrow."""
        held = batch.schema.names
        values = {one.name: as_array(batch.column(one.name), one, "float32") for one in self._graph.inputs}
        columns = dict(self.with_score(values))
        if not self._classes and LABEL in held:
            columns[LABEL] = as_floats(batch.column(LABEL), "float64")
        moments = batch.column(TIMESTAMP).to_numpy(zero_copy_only=False) if TIMESTAMP in held else _NO_MOMENTS
        return columns, moments, as_texts(batch.column(SPLIT))


@dataclass(frozen=True)
class _Rows:
    """Rows that are held, with their moments and splits, out of so many."""

    columns: Columns
    moments: Array
    splits: Array
    of: int


_NO_MOMENTS = np.zeros(0, "datetime64[us]")
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
