"""Faults of data collection, injected so that what looks for faults can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from proml_kedro.generators.job_world import Doubles, Ints
from proml_kedro.spec.generator import GeneratorSpec

Kind = Literal["null_spike", "unit_change", "label_outage", "duplicate_events"]


@dataclass(frozen=True)
class Fault:
    """A fault of data collection in a part of the period.

    Attributes:
        kind: Kind of fault.
        columns: Columns of the impressions that are wrong; none when whole rows are doubled.
        start: First moment, in days after the start.
        end: The moment after it.
        share: Share of the rows in that time that are affected.
        factor: Factor by which numbers are too large.
    """

    kind: Kind
    columns: tuple[str, ...]
    start: float
    end: float
    share: float = 1.0
    factor: float = 1.0

    def affected(self, day: Doubles, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Choose the rows that go wrong, shape (n,)."""
        return (day >= self.start) & (day < self.end) & (generator.random(len(day)) < self.share)


def faults_of(spec: GeneratorSpec) -> tuple[Fault, ...]:
    """Return the faults of a period, at fixed shares of it."""
    if not spec.anomalies:
        return ()
    labels = ("click", "dismiss", "apply", "apply_timestamp")
    days = float(spec.days)
    return (
        Fault("null_spike", ("salary_k",), 0.70 * days, 0.72 * days, share=0.8),
        Fault("unit_change", ("salary_k",), 0.80 * days, 0.82 * days, factor=1000.0),
        Fault("label_outage", labels, 0.88 * days, 0.885 * days),
        Fault("duplicate_events", (), 0.92 * days, 0.93 * days, share=0.3),
    )


def spoil_salary(salary: Doubles, day: Doubles, faults: tuple[Fault, ...], generator: np.random.Generator) -> Doubles:
    """Return salaries as they are recorded, NaN where they are lost; shape (n,)."""
    for fault in faults:
        if "salary_k" in fault.columns:
            value = np.nan if fault.kind == "null_spike" else salary * fault.factor
            salary = np.where(fault.affected(day, generator), value, salary)
    return salary


def lost_actions(day: Doubles, faults: tuple[Fault, ...], generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose the rows whose actions are not recorded, shape (n,)."""
    lost = np.zeros(len(day), bool)
    for fault in faults:
        if fault.kind == "label_outage":
            lost |= fault.affected(day, generator)
    return lost


def recorded_rows(day: Doubles, faults: tuple[Fault, ...], generator: np.random.Generator) -> Ints:
    """Return the positions of the rows as they are recorded: in order, some of them twice."""
    times = np.ones(len(day), np.int64)
    for fault in faults:
        if fault.kind == "duplicate_events":
            times += fault.affected(day, generator)
    return np.repeat(np.arange(len(day)), times)
