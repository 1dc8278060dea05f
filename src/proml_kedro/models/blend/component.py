"""``kind: blend``: scorers averaged by their margins."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from proml_kedro.models.blend.spec import BlendSpec
from proml_kedro.models.columns import mean_of
from proml_kedro.models.component import Columns, Stateless
from proml_kedro.spec.model import ComponentSpec, score_output


class Blend(Stateless):
    """Gives the weighted mean of margins, and the probability or mean that it stands for."""

    Spec: ClassVar[type[ComponentSpec]] = BlendSpec
    spec: BlendSpec

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Average the margins of each row, shape (n,)."""
        weights = np.asarray(self.spec.weights or [1.0] * len(self.inputs))
        margins = np.stack([columns[one.name] for one in self.inputs], axis=1).astype(np.float64)
        margin = (margins * (weights / weights.sum())).sum(axis=1)
        return {"margin": margin, score_output(self.task): mean_of(margin, self.task)}
