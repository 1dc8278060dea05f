"""What a drift check is: a kind in a registry, with limits from the configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from proml_kedro.extensions import drift_checks
from proml_kedro.health.categorical_profile import MOST_BINS, CategoricalProfile
from proml_kedro.health.profile import ColumnProfile
from proml_kedro.health.sample import Sample
from proml_kedro.health.score_profile import ScorePair
from proml_kedro.health.statistics import Counts, pool_rare_bins, pool_sparse_bins, prediction_bound
from proml_kedro.models.component import Array
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec

L = TypeVar("L", bound=DriftCheckSpec)

_KEPT_SHARE = 0.01


@dataclass(frozen=True)
class ColumnPair:
    """One column of the reference and of the current data, both counted by the reference's bins.

    Attributes:
        name: Of the column.
        profile: What is remembered of the reference.
        current: The current values; none when the column has a problem.
        problem: What is wrong with the presence or the type of the current column; None when nothing is.
        score: Both sides' scores beside inputs and labels, where the column is the model's score.
    """

    name: str
    profile: ColumnProfile
    current: Sample
    problem: str | None = None
    score: ScorePair | None = None

    @property
    def is_id_like(self) -> bool:
        """Whether values hardly repeat, so that a new one tells nothing."""
        return self.profile.is_id_like

    @cached_property
    def reference(self) -> Sample:
        """The values of the reference."""
        return self.profile.sample

    @cached_property
    def bins(self) -> tuple[Counts, Counts]:
        """Rows of the reference and of the current data in each bin; sparse bins are merged."""
        both = self.reference.counts, self.current.counts
        if isinstance(self.profile, CategoricalProfile):
            both = pool_rare_bins(*both, MOST_BINS, _KEPT_SHARE)
        return pool_sparse_bins(*both)


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
        severe: Size below which a difference warns at most, however small its limit is.
        reads_ids: Whether it is asked about columns whose values hardly repeat, too.
    """

    Limits: ClassVar[type[DriftCheckSpec]]
    false_alarms: ClassVar[float] = 0.005
    reads_values: ClassVar[bool] = True
    severe: ClassVar[float] = 0.0
    reads_ids: ClassVar[bool] = False

    def __init__(self, limits: L) -> None:
        self.limits = limits

    @property
    def is_calibrated(self) -> bool:
        """Whether the limit depends on how far a column has moved between earlier periods."""
        return False

    @abstractmethod
    def size(self, pair: ColumnPair) -> float:
        """Measure how large the difference is, in the unit of the limit; NaN when there is nothing to compare."""

    def expected(self, sizes: Sequence[float], least: float) -> float:
        """Say what the next size will hardly exceed, from those of earlier periods, for :meth:`limit`.

        Args:
            sizes: One for each earlier period.
            least: A size that is small for this check.
        """
        return prediction_bound(sizes, least)

    def certain(self, pair: ColumnPair, size: float) -> float:
        """Return the part of a difference that chance does not explain, by which its severity is judged.

        Args:
            pair: The column.
            size: The difference.
        """
        return size

    def p_value(self, pair: ColumnPair) -> float | None:
        """Compute how likely such a difference is by chance; None for a check without a test."""
        return None

    @abstractmethod
    def limit(self, column: str, movement: float) -> float:
        """Return the smallest size that counts.

        Args:
            column: Name of the column.
            movement: What its next size will hardly exceed, judging by earlier periods; 0 unless the check is
                calibrated.
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
