"""What the YAML of ``kind: blend`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat

from proml_kedro.errors import Mistake
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import ProblemSpec, Task


class BlendSpec(ComponentSpec):
    """The weighted mean of margins: of log-odds, of numbers themselves, or of logarithms of a count's mean.

    It learns nothing, so the components whose margins it reads are fitted once, on all rows. What learns weights is a
    `linear` component that reads the margins, for which they are cross-fitted.

    Attributes:
        weights: How much each margin counts, in the order of the inputs; all the same when left out.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "regression", "count"})
    learns: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = False

    kind: Literal["blend"]
    weights: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find what is no margin, and weights that do not go with the inputs."""
        wrong = next((name for name in inputs if not name.endswith(".margin")), None)
        if wrong is not None:
            message = f"'{wrong}' is no margin; blend averages outputs of other components such as trees.margin"
            return [Mistake("inputs", message)]
        if self.weights is not None and len(self.weights) != len(inputs):
            return [Mistake("weights", f"there are {len(self.weights)} weights of {len(inputs)} margins")]
        return []
