"""What the YAML of ``kind: target_statistics`` may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveFloat

from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import Task


class TargetStatisticsSpec(ComponentSpec):
    """The mean label of a category, or of a combination of several, drawn towards the mean of all.

    Whoever learns from it is given each training row's value without the labels of the row's own fold. A category that
    is missing, or that training has not seen, has the mean of all.

    Attributes:
        smoothing: How many examples of the mean of all are added to those of each category.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "regression", "count"})
    requires: ClassVar[tuple[str, ...]] = ("numpy",)
    takes_weights: ClassVar[bool] = True
    takes_numbers: ClassVar[bool] = False

    kind: Literal["target_statistics"]
    smoothing: PositiveFloat = 20.0

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the mean."""
        return (Output("mean"),)
