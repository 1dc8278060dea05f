"""``kind: constant``: the mean of the label, or the share of each class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.constant.spec import ConstantSpec
from proml_kedro.spec.model import ComponentSpec, score_output
from proml_kedro.spec.problem import Task

_LEAST = 1e-15
"""Smallest share of which there is a margin."""


class Constant(Component):
    """The weighted mean of the label, or the shares of its classes, of every row."""

    Spec: ClassVar[type[ComponentSpec]] = ConstantSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._task: Task = "binary"
        self._mean: Array = np.zeros(1)

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Average the labels of the training period, or of both periods when the component is final."""
        parts = [train, validation] if context.final else [train]
        label = np.concatenate([one.label for one in parts])
        weight = np.concatenate([np.ones(len(one)) if one.weight is None else one.weight for one in parts])
        self._task = context.task
        if context.task == "multiclass":
            self._mean = np.bincount(label.astype(np.int64), weight, context.classes) / weight.sum()
        else:
            self._mean = np.array([np.average(label, weights=weight)])

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Give every row the margin and the mean of the labels, or the share of each class."""
        rows, name = row_count(columns), score_output(self._task)
        if self._task == "multiclass":
            return {name: np.tile(self._mean, (rows, 1))}
        return {"margin": np.repeat(self._margin(), rows), name: np.repeat(self._mean, rows)}

    def _margin(self) -> Array:
        if self._task == "binary":
            share = np.clip(self._mean, _LEAST, 1 - _LEAST)
            return np.asarray(np.log(share / (1 - share)))
        return np.log(np.maximum(self._mean, _LEAST)) if self._task == "count" else self._mean

    def save(self, folder: Path) -> None:
        """Write ``constant.json``."""
        (folder / "constant.json").write_text(json.dumps({"task": self._task, "mean": self._mean.tolist()}))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        component = cls(spec, inputs)
        content = json.loads((folder / "constant.json").read_text())
        component._task, component._mean = content["task"], np.array(content["mean"])
        return component
