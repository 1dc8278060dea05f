"""``kind: target_statistics``: the mean label of each category."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.column_functions.texts import cross
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.target_statistics.spec import TargetStatisticsSpec
from proml_kedro.spec.model import ComponentSpec


class TargetStatistics(Component):
    """The mean label of each combination of the inputs' categories, with examples of the mean of all added to it."""

    Spec: ClassVar[type[ComponentSpec]] = TargetStatisticsSpec
    spec: TargetStatisticsSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._mean = 0.0
        self._means: dict[str, float] = {}

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Average labels by category; of both periods when the component is final.

        Labels are averaged as differences to the mean of all, so that those far from 0 lose no digits.
        """
        examples = train.join(validation) if context.final else train
        weight = np.ones(len(examples)) if examples.weight is None else examples.weight
        self._mean = float(np.average(examples.label, weights=weight)) if weight.any() else 0.0
        names: dict[str, int] = {}
        categories = self._categories(examples.columns).tolist()
        codes = np.array([-1 if one is None else names.setdefault(one, len(names)) for one in categories], np.int64)
        known = codes >= 0
        above = np.bincount(codes[known], (weight * (examples.label - self._mean))[known], len(names))
        means = self._mean + above / (np.bincount(codes[known], weight[known], len(names)) + self.spec.smoothing)
        self._means = dict(sorted(zip(names, means.tolist(), strict=True)))

    def _categories(self, columns: Columns) -> Array:
        return cross([columns[one.name] for one in self.inputs])

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Look up the mean of each row's category, shape (n,)."""
        categories = self._categories(columns)
        found = (self._means.get(one, self._mean) for one in categories.tolist())
        return {"mean": np.fromiter(found, np.float64, len(categories))}

    def save(self, folder: Path) -> None:
        """Write ``means.json``."""
        (folder / "means.json").write_text(json.dumps({"mean": self._mean, "means": self._means}))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        component = cls(spec, inputs)
        learned = json.loads((folder / "means.json").read_text())
        component._mean, component._means = learned["mean"], learned["means"]
        return component

    def summary(self) -> dict[str, Any]:
        """Count the categories."""
        return {"categories": len(self._means)}
