"""``conf/monitoring/*.yaml``: which data is compared with which, and when that is drift."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from proml_kedro.errors import unknown
from proml_kedro.extensions import Registry, drift_checks
from proml_kedro.spec.base import Name, PositiveDuration, Spec
from proml_kedro.spec.split import TEST, TRAIN, SplitName

STANDARD_CHECKS = ("schema", "nulls", "scale", "new_values", "distribution")
"""The drift checks of every gate, in the order in which they are reported."""


class DriftCheckSpec(Spec):
    """A drift check of an installed package, with limits of its own.

    Attributes:
        kind: Which check: a name in ``proml_kedro.drift_checks``.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {"kind": drift_checks}

    kind: str

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the limits of the kind that a piece of YAML names."""
        kind = value.get("kind") if isinstance(value, Mapping) else None
        limits: type[Spec] = drift_checks.get(kind).Limits if kind in drift_checks.names() else cls
        return limits


if TYPE_CHECKING:
    DriftCheckField = DriftCheckSpec
else:
    DriftCheckField = drift_checks.field(DriftCheckSpec, lambda check: check.Limits, "kind")


class ReferenceSpec(Spec):
    """The data that counts as normal.

    Attributes:
        split: Part of the training set.
        last: Only the end of it, of this length.
    """

    split: SplitName = TRAIN
    last: PositiveDuration | None = None


class CurrentSpec(Spec):
    """The data that is checked: the end of a split, or a file of rows with the same columns.

    Attributes:
        split: Part of the training set.
        last: Only the end of it, of this length.
        path: A Parquet or CSV file with a column for each feature, instead of a split.
    """

    split: SplitName = TEST
    last: PositiveDuration | None = timedelta(days=7)
    path: str | None = None


class GateSpec(Spec):
    """When a difference is drift.

    A column's distribution has drifted when the difference is significant (a two-sample G-test, Benjamini and
    Hochberg's procedure over all columns at level ``alpha``) and also large: its population stability index (PSI),
    less what chance alone adds, is at least ``psi``.

    Attributes:
        alpha: Level of significance over all columns.
        psi: Smallest PSI that counts, or ``calibrated``: ``psi_floor``, or ``psi_margin`` times the largest one seen
            between earlier periods of the reference, whichever is larger.
        null_change: Smallest change in the share of nulls that counts; calibrated together with ``psi``.
        scale: Factor by which the size of the numbers must change to count (a change of unit).
        new_values: Smallest share of unexpected new categories that counts.
        min_rows: With fewer current rows there is no verdict.
        checks: Further checks, by a name of your own: `kind` is one that an installed package registers, the other keys
            are its limits.
        fail_on: Checks of which one column is enough for drift; the others warn. They are `schema`, `nulls`, `scale`,
            `new_values`, `distribution`, and the names in `checks`.
        fail_share: Share of columns with any finding that is drift in itself.
        columns: PSI for single columns, by name.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
    psi: Annotated[float, Field(gt=0)] | Literal["calibrated"] = "calibrated"
    psi_floor: Annotated[float, Field(gt=0)] = 0.05
    psi_margin: Annotated[float, Field(ge=1)] = 1.2
    null_change: Annotated[float, Field(gt=0, le=1)] = 0.05
    scale: Annotated[float, Field(gt=1)] = 10.0
    new_values: Annotated[float, Field(gt=0, le=1)] = 0.01
    min_rows: Annotated[int, Field(ge=30)] = 500
    checks: dict[Name, DriftCheckField] = {}
    fail_on: list[str] = ["schema", "scale"]
    fail_share: Annotated[float, Field(gt=0, le=1)] = 0.34
    columns: dict[str, Annotated[float, Field(gt=0)]] = {}

    @field_validator("checks")
    @classmethod
    def _names_of_their_own(cls, checks: dict[str, DriftCheckSpec]) -> dict[str, DriftCheckSpec]:
        for name in STANDARD_CHECKS:
            if name in checks:
                raise ValueError(f"'{name}' is a check of every gate; give this one another name")
        return checks

    @field_validator("fail_on")
    @classmethod
    def _known_checks(cls, names: list[str], info: ValidationInfo) -> list[str]:
        known = [*STANDARD_CHECKS, *info.data.get("checks", ())]
        for name in names:
            if name not in known:
                raise ValueError(unknown("drift check", name, known))
        return names


class MonitoringSpec(Spec):
    """What is compared, and the gate.

    Attributes:
        report_rows: Most rows of each side that Evidently's report is made from.
    """

    reference: ReferenceSpec = ReferenceSpec()
    current: CurrentSpec = CurrentSpec()
    gate: GateSpec = GateSpec()
    report_rows: Annotated[int, Field(ge=100, le=200_000)] = 10_000

    @model_validator(mode="after")
    def _two_different_sides(self) -> Self:
        if self.current.path is None and (self.current.split, self.current.last) == (
            self.reference.split,
            self.reference.last,
        ):
            raise ValueError("reference and current are the same rows")
        return self
