"""What a streamed fit is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.spec import INTERCEPT, Loss
from proml_kedro.models.mixed.streamed.entities import Bounds
from proml_kedro.models.mixed.streamed.rows import Wanted

_INTERCEPT_PENALTY = 1e-4  # as in the engine for data in memory


@dataclass(frozen=True)
class Model:
    """What is fitted.

    Attributes:
        entity: The inputs that name the entity together.
        features: What its coefficients multiply, the intercept among them.
        fixed: Those of the features that have a coefficient for all entities too; the intercept always has.
        offset: A numeric input, or None.
        penalty: Precision of the fixed effects' prior.
        variational: Or else penalised quasi-likelihood.
        loss: What is minimised.
        exposure: A numeric input to which a count's mean is proportional, or None.
        bounds: On the rows of an entity.
    """

    entity: Sequence[str]
    features: Sequence[str]
    fixed: Sequence[str] = ()
    offset: str | None = None
    penalty: float = 1.0
    variational: bool = True
    loss: Loss = "logistic"
    exposure: str | None = None
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def numbers(self) -> list[str]:
        """Features that are inputs."""
        return [name for name in self.features if name != INTERCEPT]

    @property
    def intercept(self) -> int:
        """Its position among the features."""
        return list(self.features).index(INTERCEPT)

    def wanted(self, examples: Sequence[Examples]) -> Wanted:
        """What is read of examples; they have weights where all of them have."""
        weighted = all(one.weight is not None for one in examples)
        return Wanted(self.entity, self.offset, self.exposure, self.numbers, weighted)

    def penalties(self) -> Array:
        """Precision of each feature's fixed coefficient, infinite where there is none; shape (d,)."""
        known = {INTERCEPT: _INTERCEPT_PENALTY, **dict.fromkeys(self.fixed, max(self.penalty, _INTERCEPT_PENALTY))}
        return np.array([known.get(name, np.inf) for name in self.features])
