"""Where a fit starts that goes on from an earlier model, in memory or streamed, of the same random effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.fitted import Effect
from proml_kedro.models.mixed.rows import Unit
from proml_kedro.models.mixed.spec import INTERCEPT
from proml_kedro.models.mixed.streamed.problem import Model
from proml_kedro.models.mixed.streamed.storage.index import Index
from proml_kedro.models.mixed.warm_start import Earlier


@dataclass(frozen=True)
class Start:
    """What is taken over from an earlier model.

    Attributes:
        model: What is fitted now.
        earlier: What was fitted before.
        position: Of the same random effect among those of the earlier model; None when it had none.
    """

    model: Model
    earlier: Earlier
    position: int | None

    @property
    def effect(self) -> Effect | None:
        """The random effect."""
        return None if self.position is None else self.earlier.learned.effects[self.position]

    @property
    def scales(self) -> dict[str, Scale]:
        """How numbers were standardised."""
        return self.earlier.terms.scales

    def mean(self, unit: Unit) -> Array:
        """Fixed coefficients of the features, zero for what is new, in a unit of labels; shape (d,)."""
        known = dict(zip(self.earlier.terms.fixed_keys, self.earlier.learned.fixed.numbers.tolist(), strict=True))
        fixed = {INTERCEPT, *self.model.fixed}
        mean = np.array([known.get(name, 0.0) if name in fixed else 0.0 for name in self.model.features])
        mean[self.model.intercept] -= unit.mean
        return mean / unit.deviation

    def lay_into(self, index: Index, unit: Unit) -> None:
        """Have entities start where they were, by name; new ones start from zero."""
        effect = self.effect
        if effect is None or self.position is None:
            return
        d = len(self.model.features)
        lower = np.tril_indices(d)
        places = index.places(self.earlier.terms.effect_levels[self.position].keys)
        for part, ranks in index.walk():
            place = places[ranks]
            state = np.zeros((len(place), d + len(lower[0])), np.float32)
            known = place >= 0
            state[known, :d] = effect.means[place[known]] / unit.deviation
            state[known, d:] = effect.covariances[place[known]][:, lower[0], lower[1]] / unit.deviation**2
            part.start_from(state)
