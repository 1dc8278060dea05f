"""Problem of a streamed fit: what is fitted, how its numbers and labels are standardised, and its initial values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.effect_spec import INTERCEPT
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.label_unit import LabelUnit
from proml_kedro.models.mixed.losses import first_intercept
from proml_kedro.models.mixed.spec import Loss
from proml_kedro.models.mixed.streamed.row_format import LINEAR, POISSON, form_of
from proml_kedro.models.mixed.streamed.storage.encode import Floats, RowEncoder
from proml_kedro.models.mixed.streamed.storage.entities import RowBounds
from proml_kedro.models.mixed.streamed.storage.partition import ColumnMoments, Partition
from proml_kedro.models.mixed.streamed.storage.read import RowSchema, first_mean

_INTERCEPT_PENALTY = 1e-4  # as in the engine for data in memory


@dataclass(frozen=True)
class StreamedProblem:
    """Model with one random effect that is fitted by streaming.

    Attributes:
        entity: Inputs that together name the entity.
        features: What its coefficients multiply, the intercept among them.
        fixed: Features that have a fixed coefficient too; the intercept always has one.
        offset: A numeric input, or None.
        penalty: Precision of the fixed effects' prior.
        variational: Whether the likelihood is averaged over the posterior; else penalised quasi-likelihood.
        loss: Loss that is minimised.
        exposure: A numeric input to which a count's mean is proportional, or None.
        bounds: Bounds on the rows of an entity.
    """

    entity: Sequence[str]
    features: Sequence[str]
    fixed: Sequence[str] = ()
    offset: str | None = None
    penalty: float = 1.0
    variational: bool = True
    loss: Loss = "logistic"
    exposure: str | None = None
    bounds: RowBounds = field(default_factory=RowBounds)

    @property
    def numbers(self) -> list[str]:
        """Features that are inputs."""
        return [name for name in self.features if name != INTERCEPT]

    @property
    def intercept(self) -> int:
        """Position of the intercept among the features."""
        return list(self.features).index(INTERCEPT)

    def schema(self, examples: Sequence[Examples]) -> RowSchema:
        """Return what is read of each row; rows have weights where all examples have."""
        weighted = all(one.weight is not None for one in examples)
        return RowSchema(self.entity, self.offset, self.exposure, self.numbers, weighted, self._origins(examples))

    def _origins(self, examples: Sequence[Examples]) -> tuple[float, float]:
        if self.loss != "linear":
            return 0.0, 0.0
        label = np.concatenate([one.label[np.isfinite(one.label)] for one in examples])
        offset = first_mean(examples[0], self.offset) if self.offset else 0.0
        return offset, float(label.mean()) if len(label) else 0.0

    def penalties(self) -> Array:
        """Return the precision of each feature's fixed coefficient, infinite where there is none; shape (d,)."""
        known = {INTERCEPT: _INTERCEPT_PENALTY, **dict.fromkeys(self.fixed, max(self.penalty, _INTERCEPT_PENALTY))}
        return np.array([known.get(name, np.inf) for name in self.features])


class StandardisedProblem:
    """Problem together with its partitioned rows, and the standardisation that follows from them.

    Attributes:
        problem: What is fitted.
        rows: Partitioned rows.
        form: Format in which they are stored, see :mod:`.row_format`.
        scales: Standardisation of each feature that is an input.
        unit: Unit in which labels, and with them margins, are fitted.

    Args:
        problem: What is fitted.
        rows: Partitioned rows.
        scales: Scales of a previous model. Their means and deviations are kept, so that coefficients keep their
            meaning.
    """

    def __init__(self, problem: StreamedProblem, rows: Partition, scales: Mapping[str, Scale] | None = None) -> None:
        self.problem, self.rows = problem, rows
        self.form = form_of(problem.loss, rows.weighted)
        self._offset, *numbers = rows.moments[: 1 + len(problem.numbers)]
        self._label = rows.moments[1 + len(problem.numbers)]
        own = dict(zip(problem.numbers, map(self._scale, numbers), strict=True))
        self.scales = {name: _as_before(scale, (scales or {}).get(name, scale)) for name, scale in own.items()}
        label = self._scale(self._label)
        # In rows, a margin is less by the difference of the origins.
        self._rows_unit = LabelUnit(label.mean, label.deviation) if self.form == LINEAR else LabelUnit()
        offset, of_label = rows.origins
        self.unit = LabelUnit(self._rows_unit.mean + of_label - offset, self._rows_unit.deviation)

    def _scale(self, moments: ColumnMoments) -> Scale:
        total = self._label.count  # every row has a label
        deviation = float(np.sqrt(moments.squares / moments.count)) if moments.count else 0.0
        constant = deviation <= 1e-7 * abs(moments.mean)
        return Scale(moments.mean, 1.0 if constant else deviation, 0 < moments.count < total, constant)

    @property
    def offset_deviation(self) -> float:
        """Standard deviation of the offset over rows; 0 without an offset, and for a constant one."""
        scale = self._scale(self._offset)
        return 0.0 if scale.constant else scale.deviation

    def encoder(self) -> RowEncoder:
        """Return the encoder by which rows are packed."""
        columns, means, factors = [], [], []
        for name in self.problem.features:
            scale = self.scales.get(name, Scale(0.0, 1.0, False, False))
            columns.append(-1 if name == INTERCEPT else 1 + self.problem.numbers.index(name))
            means.append(scale.mean)
            factors.append(1.0 / scale.deviation)
        unit = self._rows_unit.mean, self._rows_unit.deviation
        arrays = np.array(columns, np.int64), np.array(means), np.array(factors)
        return RowEncoder(*arrays, self.form, self.rows.weighted, unit)

    def first_mean(self, packed: Sequence[Floats]) -> Array:
        """Estimate initial fixed coefficients: those of a model with nothing but an intercept; shape (d,).

        Args:
            packed: Some of the rows, from which the mean of exp(offset) is estimated for counts.
        """
        start, place = np.zeros(len(self.problem.features)), self.problem.intercept
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
    """Combine mean and deviation of the previous scale with what these rows tell: missing, constant."""
    return Scale(earlier.mean, earlier.deviation, own.missing, own.constant)


def _first_of_counts(packed: Sequence[Floats], intercept: int) -> float:
    """Estimate the intercept of counts from packed rows; rows of padding have no intercept, and are omitted."""
    real = [one[:, 1 + intercept] > 0 for one in packed]
    offset, count = (
        np.concatenate([one[:, column][known] for one, known in zip(packed, real, strict=True)]) for column in (0, -1)
    )
    return first_intercept("poisson", count, offset, np.ones(len(count))) if len(count) else 0.0
