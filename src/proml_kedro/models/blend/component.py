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
        names = [one.name for one in self.inputs if one.name != self.spec.by]
        margins = np.stack([columns[name] for name in names], axis=1).astype(np.float64)
        # A margin that does not count need not be finite: where it is NaN, 0 times it would be too.
        weights = self._weights(columns, len(names))
        margin = np.where(weights > 0, margins * weights, 0.0).sum(axis=1)
        return {"margin": margin, score_output(self.task): mean_of(margin, self.task)}

    def _weights(self, columns: Columns, count: int) -> npt.NDArray[np.float64]:
        """The share of each margin; shape (1, margins), or (n, margins) where segments have their own."""
        others = np.asarray(self.spec.weights or [1.0] * count)
        if self.spec.by is None:
            return np.asarray([others / others.sum()], np.float64)
        rows = {name: position for position, name in enumerate(self.spec.segments, 1)}
        table = np.stack([others, *(np.asarray(one) for one in self.spec.segments.values())])
        shares = table / table.sum(axis=1, keepdims=True)
        return np.asarray(shares[[rows.get(value, 0) for value in columns[self.spec.by].tolist()]], np.float64)
