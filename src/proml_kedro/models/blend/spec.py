"""What the YAML of ``kind: blend`` may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

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
        by: A category, one of the inputs, by which rows have weights of their own: trees for members that are new, and
            random effects for those that are known.
        segments: Weights by value of ``by``; a value that is not named, or missing, has ``weights``.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "regression", "count"})
    learns: ClassVar[bool] = False
    kind: Literal["blend"]
    weights: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    by: str | None = None
    segments: dict[str, Annotated[list[NonNegativeFloat], Field(min_length=1)]] = {}

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find what is no margin, and weights that do not go with the inputs."""
        margins = [name for name in inputs if name != self.by]
        wrong = next((name for name in margins if not name.endswith(".margin")), None)
        if wrong is not None:
            message = f"'{wrong}' is no margin; blend averages outputs of other components such as trees.margin"
            return [Mistake("inputs", message)]
        if not margins:
            return [Mistake("inputs", "there is no margin to average")]
        if self.weights is not None and len(self.weights) != len(margins):
            return [Mistake("weights", f"there are {len(self.weights)} weights of {len(margins)} margins")]
        return list(self._check_segments(inputs, len(margins)))

    def _check_segments(self, inputs: Mapping[str, Dtype], margins: int) -> Iterator[Mistake]:
        if (self.by is None) == bool(self.segments):
            yield Mistake("segments", "by and segments go together: a category, and weights for values of it")
        elif self.by is not None and inputs.get(self.by) != "str":
            what = (
                "is not one of inputs" if self.by not in inputs else "is no category; make one with bucketize or cross"
            )
            yield Mistake("by", f"'{self.by}' {what}")
        for name, weights in self.segments.items():
            if len(weights) != margins:
                yield Mistake(f"segments.{name}", f"there are {len(weights)} weights of {margins} margins")
            elif not sum(weights):
                yield Mistake(f"segments.{name}", "all weights are 0; one has to count")
