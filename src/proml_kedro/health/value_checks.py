"""Further checks of every gate: a feed that is lost, numbers beyond the range, and the numbers beside a spike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from proml_kedro.health.categorical_profile import CategoricalProfile
from proml_kedro.health.check import ColumnPair, DriftCheck
from proml_kedro.health.numeric_profile import EXTREME, NumericProfile
from proml_kedro.health.standard_checks import Distribution
from proml_kedro.health.statistics import (
    Counts,
    beyond_range,
    chance_of_index,
    g_test,
    pool_sparse_bins,
    stability_index,
)
from proml_kedro.models.component import Array
from proml_kedro.spec.monitoring import DriftCheckSpec, GateSpec

_EXAMPLE_ROWS = 2000
_LEAST_EXPECTED = 9.0
_MOST_CONSTANT = 0.9


class _Loss(DriftCheck[DriftCheckSpec]):
    """A column that says nothing any more. It is none where earlier periods lacked it as well."""

    Limits = DriftCheckSpec
    reads_ids = True

    @property
    def is_calibrated(self) -> bool:
        """Whether the limit follows earlier periods: always."""
        return True

    def expected(self, sizes: Sequence[float], least: float) -> float:
        """Return 1 where an earlier period was without the column too, else 0."""
        return max(sizes, default=0.0)

    def limit(self, column: str, movement: float) -> float:
        """Return 1; more than any size where an earlier period was without the column too."""
        return 2.0 if movement > 0 else 1.0


class Empty(_Loss):
    """A column that has no value any more, though the reference has some."""

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(DriftCheckSpec(kind="empty"))

    def size(self, pair: ColumnPair) -> float:
        """Return 1 where nothing is left of values of which at least nine rows were to be expected."""
        current, share = pair.current, 1 - pair.reference.null_share
        return float(current.rows > 0 and current.values == 0 and share * current.rows >= _LEAST_EXPECTED)

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say how many values there were."""
        return f"no value is left; {1 - pair.reference.null_share:.1%} of the reference's rows have one"

    def example(self) -> tuple[Array, Array]:
        """Make numbers that become null."""
        return np.random.default_rng(0).normal(size=_EXAMPLE_ROWS), np.full(_EXAMPLE_ROWS, np.nan)


class Stuck(_Loss):
    """A column in which every row has the same value, though the reference's differ."""

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(DriftCheckSpec(kind="stuck"))

    def size(self, pair: ColumnPair) -> float:
        """Return 1 for one value in place of many, unless the reference nearly always has one value, too."""
        current, reference = pair.current, pair.reference
        if current.distinct != 1 or reference.distinct < 2 or current.values < _LEAST_EXPECTED:
            return 0.0
        known = pair.profile
        most = known.top if isinstance(known, CategoricalProfile) else int(reference.counts.max())
        largest = most / max(1, reference.values)
        is_usual = largest >= _MOST_CONSTANT or largest**current.values > _CHANCE
        return float(not is_usual)

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say so."""
        return "every row has the same value"

    def example(self) -> tuple[Array, Array]:
        """Make numbers that become one number of them."""
        values = np.random.default_rng(0).normal(size=_EXAMPLE_ROWS)
        return values, np.full(_EXAMPLE_ROWS, np.median(values))


_CHANCE = 1e-4


class RangeLimits(DriftCheckSpec):
    """When numbers beyond the reference's range count.

    Attributes:
        share: Smallest share of current values beyond what is to be expected.
        margin: It must also be so many times what earlier periods let expect; not when left out.
    """

    kind: str = "range"
    share: Annotated[float, Field(gt=0, le=1)] = 0.005
    margin: Annotated[float, Field(ge=1)] | None = None


class Range(DriftCheck[RangeLimits]):
    """Numbers below the second smallest or above the second largest of the reference, more than chance brings."""

    Limits = RangeLimits
    severe = 0.5  # a warm week, or a storm, is beyond what eight weeks had

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate: it is calibrated together with the distribution."""
        return cls(RangeLimits(share=gate.range, margin=gate.psi_margin if gate.psi == "calibrated" else None))

    @property
    def is_calibrated(self) -> bool:
        """Whether a margin over earlier changes is asked for."""
        return self.limits.margin is not None

    def size(self, pair: ColumnPair) -> float:
        """Measure the share beyond the range, less what is to be expected; NaN for categories."""
        if not isinstance(pair.profile, NumericProfile):
            return math.nan
        return beyond_range(pair.current.outside, pair.current.values, EXTREME, pair.reference.values)

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest share that counts."""
        return max(self.limits.share, (self.limits.margin or 0.0) * movement)

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the whole share."""
        return f"{pair.current.outside_share:.1%} of the numbers are beyond the reference's range"

    def example(self) -> tuple[Array, Array]:
        """Make normal numbers of which a twentieth becomes -999."""
        values = np.random.default_rng(0).normal(size=_EXAMPLE_ROWS)
        return values, np.where(np.arange(_EXAMPLE_ROWS) % 20, values, -999.0)


class Far(DriftCheck[RangeLimits]):
    """Numbers beyond the reference's range by three times its width: -999 for a missing one, or some in another unit.

    What earlier periods did is no measure of that, so the limit does not follow them: where each week is beyond the
    range of the weeks before, such numbers would hide behind the season.
    """

    Limits = RangeLimits

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate."""
        return cls(RangeLimits(kind="far", share=gate.range))

    def size(self, pair: ColumnPair) -> float:
        """Measure the share, less what is to be expected beyond the range at all; NaN for categories."""
        if not isinstance(pair.profile, NumericProfile):
            return math.nan
        return beyond_range(pair.current.far, pair.current.values, EXTREME, pair.reference.values)

    def limit(self, column: str, movement: float) -> float:
        """Return the smallest share that counts."""
        return self.limits.share

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the whole share."""
        share = pair.current.far / pair.current.values
        return f"{share:.1%} of the numbers are far beyond the reference's range, by three times its width"

    def example(self) -> tuple[Array, Array]:
        """Make normal numbers of which a twentieth becomes -999."""
        values = np.random.default_rng(0).normal(size=_EXAMPLE_ROWS)
        return values, np.where(np.arange(_EXAMPLE_ROWS) % 20, values, -999.0)


class Rest(Distribution):
    """Another distribution of the numbers beside the one that at least half of the rows carry, such as zero."""

    severe = 0.5

    @classmethod
    def of_gate(cls, gate: GateSpec) -> Self:
        """Make the check of a gate: with the limits of the distribution."""
        limits = Distribution.of_gate(gate).limits
        return cls(limits.model_copy(update={"kind": "rest", "psi_floor": max(_REST_FLOOR, limits.psi_floor)}))

    def size(self, pair: ColumnPair) -> float:
        """Measure the PSI of the rest; NaN without a spike."""
        rests = _rests(pair)
        return stability_index(*rests) if rests else math.nan

    def certain(self, pair: ColumnPair, size: float) -> float:
        """Return the PSI less what one in a thousand samples of the same distribution has."""
        rests = _rests(pair)
        return size - chance_of_index(*rests) if rests else size

    def p_value(self, pair: ColumnPair) -> float:
        """Test whether both rests have one distribution."""
        rests = _rests(pair)
        return g_test(*rests) if rests else math.nan

    def describe(self, pair: ColumnPair, size: float, limit: float) -> str:
        """Say the PSI with its limit."""
        return f"PSI {size:.3f} (limit {limit:.3f}) of the numbers beside the most frequent one"

    def example(self) -> tuple[Array, Array]:
        """Make numbers, nearly all zero, of which the others double."""
        generator = np.random.default_rng(0)
        values = np.where(generator.random(_EXAMPLE_ROWS * 2) < 0.9, 0.0, generator.exponential(2.0, _EXAMPLE_ROWS * 2))
        return values, values * 2


_REST_FLOOR = 0.05
_FEWEST_IN_REST = 100


def _rests(pair: ColumnPair) -> tuple[Counts, Counts] | None:
    """Count both rests by bins; None where one side has hardly any."""
    before, after = pair.reference.rest, pair.current.rest
    if before is None or after is None or min(before.values, after.values) < _FEWEST_IN_REST:
        return None
    return pool_sparse_bins(before.counts, after.counts)
