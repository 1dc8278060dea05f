"""Warm start of a streamed fit from a previous model with the same random effect, in memory or streamed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.effect_spec import INTERCEPT
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.fitted import FittedEffect
from proml_kedro.models.mixed.label_unit import LabelUnit
from proml_kedro.models.mixed.streamed.problem import StreamedProblem
from proml_kedro.models.mixed.streamed.storage.index import EntityIndex
from proml_kedro.models.mixed.warm_start import PreviousModel


@dataclass(frozen=True)
class StreamedStart:
    """Initial values from a previous model.

    Attributes:
        problem: What is fitted now.
        previous: Previous model.
        position: Position of the same random effect in the previous model; None when it had none.
    """

    problem: StreamedProblem
    previous: PreviousModel
    position: int | None

    @property
    def effect(self) -> FittedEffect | None:
        """The same random effect in the previous model."""
        return None if self.position is None else self.previous.fitted.effects[self.position]

    @property
    def scales(self) -> dict[str, Scale]:
        """Standardisation of the previous model."""
        return self.previous.terms.scales

    def mean(self, unit: LabelUnit) -> Array:
        """Return the fixed coefficient of each feature in a unit of labels, zero for new ones; shape (d,)."""
        known = dict(zip(self.previous.terms.fixed_keys, self.previous.fitted.fixed.numbers.tolist(), strict=True))
        fixed = {INTERCEPT, *self.problem.fixed}
        mean = np.array([known.get(name, 0.0) if name in fixed else 0.0 for name in self.problem.features])
        mean[self.problem.intercept] -= unit.mean
        return mean / unit.deviation

    def write_states(self, index: EntityIndex, unit: LabelUnit) -> None:
        """Write the previous coefficients of each entity, found by name, into the blocks; new entities stay at zero."""
        effect = self.effect
        if effect is None or self.position is None:
            return
        d = len(self.problem.features)
        lower = np.tril_indices(d)
        places = index.places(self.previous.terms.effect_levels[self.position].keys)
        for part, ranks in index.walk():
            place = places[ranks]
            state = np.zeros((len(place), d + len(lower[0])), np.float32)
            known = place >= 0
            state[known, :d] = effect.means[place[known]] / unit.deviation
            state[known, d:] = effect.covariances[place[known]][:, lower[0], lower[1]] / unit.deviation**2
            part.write_state(state)
