"""Scoring as a plan that an executor runs, over rows in memory or over rows that are read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from proml_kedro.models.columns import as_array, to_arrow
from proml_kedro.models.component import Array, Columns, Component, Input, RowSource
from proml_kedro.models.graph.plan import Plan, Step

_MOST_ROWS = 1 << 14  # computed at a time: vectors of so many rows stay small beside whatever reads the results


class Executor(Protocol):
    """Runs steps: in this process, or wherever else a component may be."""

    def run(self, step: Step, columns: Columns) -> Columns:
        """Compute the columns that a step gives, n rows each, from those that it reads."""


@dataclass(frozen=True)
class InProcess:
    """Runs steps with components of this process.

    Attributes:
        components: By name; those that learn are fitted.
    """

    components: Mapping[str, Component]

    def run(self, step: Step, columns: Columns) -> Columns:
        """Score the rows with the step's component."""
        scores = self.components[step.component].score(columns)
        return {f"{step.component}.{name}": values for name, values in scores.items()}


def run_plan(plan: Plan, columns: Columns, executor: Executor) -> dict[str, Array]:
    """Run all steps over rows in memory.

    Args:
        plan: The steps.
        columns: The plan's inputs, and whatever else its steps read and do not make, n rows each.
        executor: Runs a step.

    Returns:
        The columns that the steps give, n rows each.
    """
    made: dict[str, Array] = {}
    for step in plan.steps:
        read = {one.name: made[one.name] if one.name in made else columns[one.name] for one in step.reads}
        made.update(executor.run(step, read))
    return made


@dataclass(frozen=True)
class PlannedRows:
    """Rows of another source with the columns that a plan makes of them: a plan run batch by batch.

    Only one batch is in memory. It is a :class:`~proml_kedro.models.component.RowSource` itself, so that whatever
    streams rows can stream these.

    Attributes:
        source: The rows.
        plan: Steps that make further columns.
        executor: Runs a step.
        held: Columns that are there for all rows, in the order of the source; they are not made again.
    """

    source: RowSource
    plan: Plan
    executor: Executor
    held: Mapping[str, Array] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """Return the floating point type of numbers and vectors."""
        return self.source.precision

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, inputs: Sequence[Input], rows: int) -> Iterator[Columns]:
        """Read or compute the inputs in the order of the rows, at most ``rows`` rows at a time."""
        for stored, made in self._parts([one.name for one in inputs], rows):
            yield {
                one.name: made[one.name] if one.name in made else as_array(stored.column(one.name), one, self.precision)
                for one in inputs
            }

    def record_batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Read or compute columns as ``pyarrow.RecordBatch``, in the order of the rows, at most ``rows`` at a time."""
        import pyarrow as pa

        for stored, made in self._parts(names, rows):
            columns = [to_arrow(made[name]) if name in made else stored.column(name) for name in names]
            yield pa.RecordBatch.from_arrays(columns, list(names))

    def _parts(self, names: Sequence[str], rows: int) -> Iterator[tuple[Any, Columns]]:
        """Batch by batch what is read of the source, as a ``pyarrow.RecordBatch``, and the columns that are not."""
        plan = self.plan.until(names, self.held)
        given = {one.name for step in self.plan.steps for one in step.gives} | set(self.held)
        read = {*names, *(one.name for step in plan.steps for one in step.reads)}
        stored = [name for name in dict.fromkeys([*names, *(one.name for one in plan.inputs)]) if name not in given]
        held = {name: self.held[name] for name in read if name in self.held}
        first = 0
        size = min(rows, _MOST_ROWS)
        for batch in self._stored(stored, size):
            here = slice(first, first + (len(batch) if batch is not None else size))
            parts = {name: values[here] for name, values in held.items()}
            columns = {one.name: as_array(batch.column(one.name), one, self.precision) for one in plan.inputs}
            yield batch, parts | run_plan(plan, {**columns, **parts}, self.executor)
            first = here.stop

    def _stored(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Batches of the source; None for each where nothing is read of it."""
        if names:
            yield from self.source.record_batches(names, rows)
        else:
            yield from (None for _ in range(0, len(self), rows))


def score_rows(plan: Plan, source: RowSource, executor: Executor, rows: int = 1 << 16) -> Array:
    """Compute a model's score for all rows of a source in bounded memory; float64 of shape (n,) or (n, classes).

    Args:
        plan: The model's plan.
        source: The rows.
        executor: Runs a step.
        rows: The most rows that are in memory at a time.
    """
    wanted = [one for step in plan.steps for one in step.gives if one.name == plan.score]
    parts = [part[plan.score] for part in PlannedRows(source, plan, executor).batches(wanted, rows)]
    return np.concatenate(parts) if parts else np.zeros(0)
