"""A streamed fit's problem: what is asked for, how its numbers and labels are measured, and where it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.losses import first_intercept
from proml_kedro.models.mixed.rows import Unit
from proml_kedro.models.mixed.spec import INTERCEPT, Loss
from proml_kedro.models.mixed.streamed.storage.encode import Floats, Slopes
from proml_kedro.models.mixed.streamed.storage.entities import Bounds
from proml_kedro.models.mixed.streamed.storage.partition import Moments, Partition
from proml_kedro.models.mixed.streamed.storage.read import Wanted
from proml_kedro.models.mixed.streamed.storage.row_format import LINEAR, POISSON, form_of

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


class Measured:
    """Rows that were divided, by the model that they are for.

    Attributes:
        model: What is fitted.
        rows: In parts.
        form: In which they are stored, see :mod:`.forms`.
        scales: How each feature that is an input is standardised.
        unit: In which labels, and with them margins, are measured.

    Args:
        model: See above.
        rows: See above.
        scales: Of an earlier model: where it has one of a number, its mean and deviation are kept, so that
            coefficients mean what they meant.
    """

    def __init__(self, model: Model, rows: Partition, scales: Mapping[str, Scale] | None = None) -> None:
        self.model, self.rows = model, rows
        self.form = form_of(model.loss, rows.weighted)
        self._offset, *numbers = rows.moments[: 1 + len(model.numbers)]
        self._label = rows.moments[1 + len(model.numbers)]
        own = dict(zip(model.numbers, map(self._scale, numbers), strict=True))
        self.scales = {name: _as_before(scale, (scales or {}).get(name, scale)) for name, scale in own.items()}
        label = self._scale(self._label)
        self.unit = Unit(label.mean, label.deviation) if self.form == LINEAR else Unit(0.0, 1.0)

    def _scale(self, moments: Moments) -> Scale:
        total = self._label.count  # every row has a label
        deviation = float(np.sqrt(moments.squares / moments.count)) if moments.count else 0.0
        constant = deviation <= 1e-7 * abs(moments.mean)
        return Scale(moments.mean, 1.0 if constant else deviation, 0 < moments.count < total, constant)

    @property
    def offset_deviation(self) -> float:
        """Standard deviation of the offset over rows; 0 without one, and for one that is the same for all."""
        scale = self._scale(self._offset)
        return 0.0 if scale.constant else scale.deviation

    def slopes(self) -> Slopes:
        """How rows are packed."""
        columns, means, factors = [], [], []
        for name in self.model.features:
            scale = self.scales.get(name, Scale(0.0, 1.0, False, False))
            columns.append(-1 if name == INTERCEPT else 1 + self.model.numbers.index(name))
            means.append(scale.mean)
            factors.append(1.0 / scale.deviation)
        unit = self.unit.mean, self.unit.deviation
        how = np.array(columns, np.int64), np.array(means), np.array(factors)
        return Slopes(*how, self.form, self.rows.weighted, unit)

    def first_mean(self, packed: Sequence[Floats]) -> Array:
        """Fixed coefficients to start from: those of a model with nothing but an intercept; shape (d,).

        Args:
            packed: Some of the rows, from which the mean of exp(offset) is estimated for counts.
        """
        start, place = np.zeros(len(self.model.features)), self.model.intercept
        offset = self._offset.mean * self._offset.count / max(self._label.count, 1e-300)
        if self.form == POISSON:
            start[place] = _first_of_counts(packed, place)
        elif self.form == LINEAR:
            start[place] = -offset / self.unit.deviation
        else:
            ones = self._label.mean * self._label.count
            start[place] = np.log((ones + 0.5) / (self._label.count - ones + 0.5)) - offset
        return start


def _as_before(own: Scale, earlier: Scale) -> Scale:
    """The earlier scale, with what these rows say of the number."""
    return Scale(earlier.mean, earlier.deviation, own.missing, own.constant)


def _first_of_counts(packed: Sequence[Floats], intercept: int) -> float:
    real = [one[:, 1 + intercept] > 0 for one in packed]  # and not padding
    offset, count = (
        np.concatenate([one[:, column][known] for one, known in zip(packed, real, strict=True)]) for column in (0, -1)
    )
    return first_intercept("poisson", count, offset, np.ones(len(count))) if len(count) else 0.0
