"""``conf/monitoring/*.yaml``: which data is compared with which, and when that is drift."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from proml_kedro.errors import unknown
from proml_kedro.extensions import Registry, drift_checks
from proml_kedro.spec.anomalies import AnomaliesSpec
from proml_kedro.spec.base import Name, PositiveDuration, Spec
from proml_kedro.spec.model_health import HealthSpec
from proml_kedro.spec.split import TEST, SplitName

STANDARD_CHECKS = ("schema", "empty", "stuck", "nulls", "scale", "new_values", "far", "range", "rest", "distribution")
"""The drift checks of every gate, in the order in which they are reported."""

ScoreCheckName = Literal["level", "relation", "calibration"]

SCORE_CHECKS = ("score_level", "score_relation", "score_calibration")
"""The checks of every gate that are made of the model's score alone."""


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
    """The data that counts as normal: what came right before the current rows, or a part that stays where it is.

    Attributes:
        split: Part of the training set that is the reference whatever is current. When left out, rows of all parts that
            come right before the current ones are; where rows have no moments, those for training.
        last: Only the end of it, of this length; without a split or a length, four times that of what is current.
        ago: Without a split: so much earlier still, such as `364d` for the same season of the year before.
    """

    split: SplitName | None = None
    last: PositiveDuration | None = None
    ago: PositiveDuration | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.ago is not None and self.split is not None:
            raise ValueError("ago goes without split: a part of the training set has its own time")
        return self


class CurrentSpec(Spec):
    """The data that is checked: the end of a split, or a file of rows with the same columns.

    Attributes:
        split: Part of the training set.
        last: Only the end of it, of this length.
        path: A Parquet or CSV file with a column for each feature, instead of a split. A file of the same sort as the
            source of the examples' table is read in the dialect of that: `delimiter`, `decimal`, `null_words`, ….
    """

    split: SplitName = TEST
    last: PositiveDuration | None = timedelta(days=7)
    path: str | None = None


class GateSpec(Spec):
    """When a difference is drift.

    A difference counts when it is significant (a two-sample test, Benjamini and Hochberg's procedure over all columns
    at level `alpha`) and also as large as its limit. A limit is a number below, or `psi_margin` times what earlier
    periods let expect of the next one, whichever is larger. How many times its limit a difference is, multiplied by
    how much the column matters to the model, is its evidence: from 1 on the column differs, from `severe` on it has
    drifted.

    Attributes:
        alpha: Level of significance over all columns.
        psi: Smallest population stability index (PSI) that counts, less what chance adds, or `calibrated`: `psi_floor`,
            or `psi_margin` times what earlier periods let expect, whichever is larger. With a number, no limit follows
            earlier periods.
        null_change: Smallest change in the share of nulls that counts; calibrated together with `psi`.
        scale: Factor by which the size of the numbers must change to count (a change of unit).
        new_values: Smallest share of unexpected new categories that counts.
        range: Smallest share of numbers beyond the reference's range that counts; calibrated together with `psi`, but
            not for numbers that are far beyond it.
        score: Smallest change of the model's score that counts, by check: `level` (its mean, in standard deviations;
            0.2), `relation` (how much is lost of how it goes with the inputs; 0.7), `calibration` (labels less scores,
            in standard deviations; 0.1); `level` and `calibration` are calibrated together with `psi`.
        min_rows: With fewer current rows there is no verdict.
        checks: Further checks, by a name of your own: `kind` is one that an installed package registers, the other keys
            are its limits.
        severe: Evidence from which on one column is enough for drift.
        fail_on: Checks of which one column is enough for drift, whatever its evidence. They are `schema`, `empty`,
            `stuck`, `nulls`, `scale`, `new_values`, `far`, `range`, `rest`, `distribution`, and the names in `checks`.
        fail_share: Share of the sources whose columns differ that is drift in itself; of the columns, where there are
            fewer than three sources. A source is a feature view. At least two must differ.
        columns: PSI for single columns, by name.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
    psi: Annotated[float, Field(gt=0)] | Literal["calibrated"] = "calibrated"
    psi_floor: Annotated[float, Field(gt=0)] = 0.02
    psi_margin: Annotated[float, Field(ge=1)] = 1.0
    null_change: Annotated[float, Field(gt=0, le=1)] = 0.05
    scale: Annotated[float, Field(gt=1)] = 10.0
    new_values: Annotated[float, Field(gt=0, le=1)] = 0.01
    range: Annotated[float, Field(gt=0, le=1)] = 0.005
    score: dict[ScoreCheckName, Annotated[float, Field(gt=0)]] = {}
    min_rows: Annotated[int, Field(ge=30)] = 500
    checks: dict[Name, DriftCheckField] = {}
    severe: Annotated[float, Field(ge=1)] = 3.0
    fail_on: list[str] = ["schema", "empty", "scale"]
    fail_share: Annotated[float, Field(gt=0, le=1)] = 0.34
    columns: dict[str, Annotated[float, Field(gt=0)]] = {}

    @field_validator("checks")
    @classmethod
    def _names_of_their_own(cls, checks: dict[str, DriftCheckSpec]) -> dict[str, DriftCheckSpec]:
        for name in (*STANDARD_CHECKS, *SCORE_CHECKS):
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
    """What is compared, the gate, how predictions are judged once labels are known, and figures to watch over time.

    Attributes:
        report_rows: Most rows of each side that Evidently's report is made from.
    """

    reference: ReferenceSpec = ReferenceSpec()
    current: CurrentSpec = CurrentSpec()
    gate: GateSpec = GateSpec()
    health: HealthSpec = HealthSpec()
    anomalies: AnomaliesSpec = AnomaliesSpec()
    report_rows: Annotated[int, Field(ge=100, le=200_000)] = 10_000

    @model_validator(mode="after")
    def _two_different_sides(self) -> Self:
        reference, current = self.reference, self.current
        is_same = (current.split, current.last) == (reference.split, reference.last)
        if current.path is None and is_same:
            raise ValueError("reference and current are the same rows")
        return self
