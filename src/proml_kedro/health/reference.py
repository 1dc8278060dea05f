"""What a bundle remembers of the data that its model is for: numbers for each column and the gate, no rows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from proml_kedro.errors import Mistake, UserError
from proml_kedro.health.calibrate import calibrate
from proml_kedro.health.periods import History
from proml_kedro.health.profile import ReferenceProfile
from proml_kedro.health.profile import profile as make_profile
from proml_kedro.models.component import Input
from proml_kedro.results.json_file import first_line
from proml_kedro.results.names import REFERENCE
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.monitoring import GateSpec, MonitoringSpec


class Reference(BaseModel):
    """``reference.json`` of a bundle.

    Attributes:
        format: Version of this layout.
        inputs: The columns that are watched, with their types.
        gate: When a difference is drift.
        profile: The data that counts as normal.
        movements: What each calibrated check will hardly exceed, by column and check.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["proml-reference/1"] = "proml-reference/1"
    inputs: dict[str, Dtype]
    gate: GateSpec
    profile: ReferenceProfile
    movements: dict[str, dict[str, float]]

    @classmethod
    def of(cls, past: History, monitoring: MonitoringSpec) -> Self:
        """Remember what current rows are to be compared with that come after the training set."""
        from_now_on = monitoring.model_copy(update={"current": monitoring.current.model_copy(update={"path": "-"})})
        rows, _ = past.sides(from_now_on, {})
        movements = calibrate(past.periods(from_now_on), past.inputs, monitoring.gate)
        return cls(
            inputs={one.name: one.dtype for one in past.inputs if one.size is None},
            gate=monitoring.gate,
            profile=make_profile(rows, past.inputs),
            movements={name: dict(one) for name, one in movements.items()},
        )

    @classmethod
    def read(cls, bundle: Path) -> Self:
        """Read the reference of a bundle.

        Raises:
            UserError: It has none, or one that this version cannot read.
        """
        file = bundle / REFERENCE
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            message = f"the bundle has no {REFERENCE}: an earlier version of proml_kedro wrote it; make it anew"
            raise UserError(Mistake("", message, str(bundle))) from error
        except ValidationError as error:
            message = f"this version cannot read it ({first_line(error)}); make the bundle anew"
            raise UserError(Mistake("", message, str(file))) from error

    @property
    def columns(self) -> list[Input]:
        """The columns that are watched."""
        return [Input(name, dtype) for name, dtype in self.inputs.items()]
