"""Settings and progress of the sweeps."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.streamed.row_format import LINEAR, LOGISTIC, POISSON


@dataclass(frozen=True)
class SweepSettings:
    """Settings of the sweeps.

    Attributes:
        penalty: Precision of the prior of each fixed effect, shape (d,); infinite for a slope that has none.
        variational: Whether the likelihood is averaged over the posterior of the effects; else it is taken at the mode.
        form: Format of the rows, see :mod:`.row_format`.
        intercept: Position of the intercept among the slopes.
        tolerance: Steps of a block end when none of its coefficients moves further, in the unit of the margin. The
            remaining error is of the order of its square.
        mean_tolerance: Converged when no fixed effect changes more.
        covariance_tolerance: Converged when the covariance, and the dispersion, change no more, relatively.
        max_sweeps: Largest number of full sweeps.
        newton_steps: Largest number of steps of an entity in a sweep.
        sample_first: Whether mean and covariance are estimated from a sample before the first full sweep; False when
            they start from a previous model.
    """

    penalty: Array
    variational: bool = True
    form: int = LOGISTIC
    intercept: int = 0
    tolerance: float = 1e-2
    mean_tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    max_sweeps: int = 50
    newton_steps: int = 25
    sample_first: bool = True

    @property
    def spread(self) -> float:
        """Factor of the variance of a row's margin where the likelihood is averaged over it; else 0."""
        if not self.variational or self.form == LINEAR:
            return 0.0
        return 0.5 if self.form == POISSON else math.pi / 8


@dataclass
class Progress:
    """Progress of a fit, saved after every sweep.

    Attributes:
        mean: Mean b of the population, d numbers.
        covariance: Covariance S of the population, d lists of d numbers.
        dispersion: Residual variance, with the linear loss.
        sweeps: Number of full sweeps.
        converged: Whether tolerances were reached.
        spread: Root mean squares of u over the entities.
        errors: Standard errors of the fixed effects, 0 where there is none.
        covariance_state: State of the covariance's iteration.
        history: One entry for each sweep, those over samples included.
    """

    mean: list[float]
    covariance: list[list[float]]
    dispersion: float = 1.0
    sweeps: int = 0
    converged: bool = False
    spread: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    covariance_state: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Replace the file atomically: a killed process leaves the last sweep's version or this one."""
        temporary = file.with_name(f"{file.name}.writing")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)
