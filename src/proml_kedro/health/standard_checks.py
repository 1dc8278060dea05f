"""The checks of every gate. Their limits are keys of the gate itself."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from proml_kedro.health.categorical_profile import CategoricalProfile
from proml_kedro.health.check import ColumnPair, DriftCheck
from proml_kedro.health.statistics import (
    chance_of_index,
    g_test,
    new_value_excess,
    proportion_test,
    scale_ratio,
    stability_index,
)
from proml_kedro.models.component import Array
from proml_kedro.spec.monitoring import DriftCheckSpec, GateSpec

_EXAMPLE_ROWS = 2000


class Schema(DriftCheck[DriftCheckSpec]):
    """A column that is missing, or of another type than the reference."""

    Limits = DriftCheckSpec
    reads_values = False
    reads_ids = True

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(DriftCheckSpec(kind="schema"))

    def size(self, pair: ColumnPair) -> float:
        """Return 1 for a column with a problem, 0 for one without."""
        return float(pair.problem is not None)

    def limit(self, column: str, movement: float) -> float:
        """Return 1."""
        return 1.0

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say what is wrong."""
        return pair.problem or ""

    def example(self) -> tuple[Array, Array]:
        """Make numbers that become text."""
        return np.zeros(_EXAMPLE_ROWS), np.full(_EXAMPLE_ROWS, "a", object)


class NullLimits(DriftCheckSpec):
    """When a change in the share of nulls counts.

    Attributes:
        change: Smallest change that counts.
        margin: It must also be so many times what earlier periods let expect; not when left out.
    """

    kind: str = "nulls"
    change: Annotated[float, Field(gt=0, le=1)] = 0.05
    margin: Annotated[float, Field(ge=1)] | None = None


class Nulls(DriftCheck[NullLimits]):
    """Another share of rows without a value."""

    Limits = NullLimits
    severe = 0.2
    reads_ids = True

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate: it is calibrated together with the distribution."""
        return cls(NullLimits(change=gate.null_change, margin=gate.psi_margin if gate.psi == "calibrated" else None))

    @property
    def is_calibrated(self) -> bool:
        """Whether a margin over earlier changes is asked for."""
        return self.limits.margin is not None

    def size(self, pair: ColumnPair) -> float:
        """Measure the change in the share."""
        return abs(pair.current.null_share - pair.reference.null_share)

    def p_value(self, pair: ColumnPair) -> float:
        """Test whether the shares are equal."""
        before, after = pair.reference, pair.current
        return proportion_test(before.nulls, before.rows, after.nulls, after.rows)

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest change that counts."""
        return max(self.limits.change, (self.limits.margin or 0.0) * movement)

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say both shares, and how many numbers are infinite."""
        infinite = f", {pair.current.infinite} numbers are infinite" if pair.current.infinite else ""
        return f"nulls {pair.reference.null_share:.1%} → {pair.current.null_share:.1%}{infinite}"

    def example(self) -> tuple[Array, Array]:
        """Make numbers of which half become null."""
        values = np.random.default_rng(0).normal(size=_EXAMPLE_ROWS)
        return values, np.where(np.arange(_EXAMPLE_ROWS) % 2, values, np.nan)


class ScaleLimits(DriftCheckSpec):
    """When a change in the size of numbers counts.

    Attributes:
        factor: Smallest factor that counts, up or down.
    """

    kind: str = "scale"
    factor: Annotated[float, Field(gt=1)] = 10.0


class Scale(DriftCheck[ScaleLimits]):
    """Numbers of another size throughout, as after a change of unit."""

    Limits = ScaleLimits

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(ScaleLimits(factor=gate.scale))

    def size(self, pair: ColumnPair) -> float:
        """Measure the factor by which numbers grew or shrank."""
        ratio = scale_ratio(pair.reference.magnitudes, pair.current.magnitudes)
        return max(ratio, 1 / ratio) if ratio else math.inf

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest factor that counts."""
        return self.limits.factor

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the factor and its direction."""
        is_larger = scale_ratio(pair.reference.magnitudes, pair.current.magnitudes) > 1
        return f"numbers are {size:.3g} times {'larger' if is_larger else 'smaller'}"

    def example(self) -> tuple[Array, Array]:
        """Make numbers that become 1,000 times smaller."""
        values = np.random.default_rng(0).exponential(size=_EXAMPLE_ROWS)
        return values, values / 1000


class NewValueLimits(DriftCheckSpec):
    """When new categories count.

    Attributes:
        share: Smallest share of current values beyond what is to be expected.
    """

    kind: str = "new_values"
    share: Annotated[float, Field(gt=0, le=1)] = 0.01


class NewValues(DriftCheck[NewValueLimits]):
    """Categories that the reference does not have, more often than its rare categories let expect."""

    Limits = NewValueLimits
    severe = 0.1

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(NewValueLimits(share=gate.new_values))

    def size(self, pair: ColumnPair) -> float:
        """Measure the share of new categories beyond the expected one."""
        known, current = pair.profile, pair.current
        if not isinstance(known, CategoricalProfile):
            return 0.0
        return new_value_excess(current.new, current.values, (known.unseen, known.unseen_error), pair.reference.values)

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest share that counts."""
        return self.limits.share

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the whole share of new categories."""
        return f"{pair.current.new_share:.1%} of the values are new categories"

    def example(self) -> tuple[Array, Array]:
        """Make categories of which a tenth is replaced by a new one."""
        values = np.random.default_rng(0).choice(np.array(["a", "b", "c"], object), _EXAMPLE_ROWS)
        return values, np.where(np.arange(_EXAMPLE_ROWS) % 10, values, "new")


class DistributionLimits(DriftCheckSpec):
    """When a change of the distribution counts.

    Attributes:
        psi: Smallest PSI that counts, or ``calibrated``: ``psi_floor``, or ``psi_margin`` times what earlier periods
            let expect, whichever is larger.
        columns: PSI for single columns, by name.
    """

    kind: str = "distribution"
    psi: Annotated[float, Field(gt=0)] | Literal["calibrated"] = "calibrated"
    psi_floor: Annotated[float, Field(gt=0)] = 0.02
    psi_margin: Annotated[float, Field(ge=1)] = 1.0
    columns: dict[str, Annotated[float, Field(gt=0)]] = {}


class Distribution(DriftCheck[DistributionLimits]):
    """Another distribution: a population stability index (PSI) beyond chance, and a significant G-test."""

    Limits = DistributionLimits
    severe = 0.25  # a usual measure of a major shift

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(
            DistributionLimits(psi=gate.psi, psi_floor=gate.psi_floor, psi_margin=gate.psi_margin, columns=gate.columns)
        )

    @property
    def is_calibrated(self) -> bool:
        """Whether the limit follows earlier periods."""
        return self.limits.psi == "calibrated"

    def size(self, pair: ColumnPair) -> float:
        """Measure the PSI, less what chance adds."""
        return stability_index(*pair.bins)

    def p_value(self, pair: ColumnPair) -> float:
        """Test whether both samples have one distribution."""
        return g_test(*pair.bins)

    def certain(self, pair: ColumnPair, size: float) -> float:
        """Return the PSI less what one in a thousand samples of the same distribution has."""
        return size - chance_of_index(*pair.bins)

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest PSI that counts."""
        limits = self.limits
        if column in limits.columns:
            return limits.columns[column]
        return max(limits.psi_floor, limits.psi_margin * movement) if limits.psi == "calibrated" else limits.psi

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the PSI with its limit, and both medians."""
        medians = (pair.reference.median, pair.current.median)
        median = f", median {medians[0]:.6g} → {medians[1]:.6g}" if None not in medians else ""
        return f"PSI {size:.3f} (limit {limit:.3f}){median}"

    def example(self) -> tuple[Array, Array]:
        """Make normal numbers that move by a standard deviation."""
        generator = np.random.default_rng(0)
        return generator.normal(size=_EXAMPLE_ROWS), generator.normal(1.0, 1.0, _EXAMPLE_ROWS)
