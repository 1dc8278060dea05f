"""What a drift check is: a kind in a registry, with limits from the configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from proml_kedro.extensions import drift_checks
from proml_kedro.health.column_profile import ColumnProfile, Sample
from proml_kedro.health.statistics import Counts, pool_sparse_bins
from proml_kedro.models.component import Array
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec

L = TypeVar("L", bound=DriftCheckSpec)


@dataclass(frozen=True)
class ColumnPair:
    """One column of the reference and of the current data, both counted by the reference's bins.

    Attributes:
        name: Of the column.
        profile: What is remembered of the reference.
        current: The current values; none when the column has a problem.
        problem: What is wrong with the presence or the type of the current column; None when nothing is.
    """

    name: str
    profile: ColumnProfile
    current: Sample
    problem: str | None = None

    @cached_property
    def reference(self) -> Sample:
        """The values of the reference."""
        return self.profile.sample

    @cached_property
    def bins(self) -> tuple[Counts, Counts]:
        """Rows of the reference and of the current data in each bin; sparse bins are merged."""
        return pool_sparse_bins(self.reference.counts, self.current.counts)


class DriftCheck(ABC, Generic[L]):
    """A way in which current data can differ from the reference.

    A check finds drift in a column when the difference is as large as its limit and, where the check has a p-value,
    also significant: by Benjamini and Hochberg's procedure over all columns, at the gate's ``alpha``.

    Register it under its kind as an entry point in ``proml_kedro.drift_checks``, or by
    ``@proml_kedro.extensions.drift_checks.register(kind)``. The configuration then asks for it::

        gate: {checks: {NAME: {kind: KIND, LIMIT: VALUE}}}

    :func:`proml_kedro.testing.check_drift_check` proves its laws.

    Args:
        limits: What the configuration says.

    Attributes:
        Limits: The keys of its YAML.
        false_alarms: Highest rate, per column, at which it finds drift in samples of one distribution.
        reads_values: Whether it compares values. It is then not asked about a column that is missing or of another
            type.
    """

    Limits: ClassVar[type[DriftCheckSpec]]
    false_alarms: ClassVar[float] = 0.005
    reads_values: ClassVar[bool] = True

    def __init__(self, limits: L) -> None:
        self.limits = limits

    @property
    def is_calibrated(self) -> bool:
        """Whether the limit depends on how far a column has moved between earlier periods."""
        return False

    @abstractmethod
    def size(self, pair: ColumnPair) -> float:
        """Measure how large the difference is, in the unit of the limit; NaN when there is nothing to compare."""

    def p_value(self, pair: ColumnPair) -> float | None:
        """Compute how likely such a difference is by chance; None for a check without a test."""
        return None

    @abstractmethod
    def limit(self, column: str, movement: float) -> float:
        """Return the smallest size that counts.

        Args:
            column: Name of the column.
            movement: Its largest size between earlier periods; 0 unless the check is calibrated.
        """

    @abstractmethod
    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say what was found, in a few words without values of rows."""

    @abstractmethod
    def example(self) -> tuple[Array, Array]:
        """Make values of a column, as reference and as current data, in which the check must find drift."""


def checks_of(gate: GateSpec) -> dict[str, DriftCheck[DriftCheckSpec]]:
    """Return the checks of a gate by name: the standard ones, then those that its ``checks`` ask for.

    Raises:
        UnknownNameError: A kind is not installed.
    """
    standard = {name: drift_checks.get(name).of_gate(gate) for name in STANDARD_CHECKS}
    return standard | {name: drift_checks.get(limits.kind)(limits) for name, limits in gate.checks.items()}
