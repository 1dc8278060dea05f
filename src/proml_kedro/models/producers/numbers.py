"""``kind: difference``, ``log1p`` and ``clip``: functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import FiniteFloat, model_validator

from proml_kedro.models.producers.base import Producer

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Difference(Producer):
    """The first number less the second, in the precision of models; missing where one of them is missing."""

    count: ClassVar[int | None] = 2

    kind: Literal["difference"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the difference, shape (n,)."""
        from proml_kedro.column_functions.numbers import difference

        return difference(values[0], values[1])


class Log1p(Producer):
    """The natural logarithm of 1 more than a number; missing from -1 down."""

    count: ClassVar[int | None] = 1

    kind: Literal["log1p"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the logarithm, shape (n,)."""
        from proml_kedro.column_functions.numbers import log1p

        return log1p(values[0])


class Clip(Producer):
    """A number, or the bound that it lies beyond; missing where it is missing.

    Attributes:
        low: The least value; none when left out.
        high: The greatest value; none when left out.
    """

    count: ClassVar[int | None] = 1

    kind: Literal["clip"]
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("clip needs low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high: {self.high:g}")
        return self

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the value within the bounds, shape (n,)."""
        from proml_kedro.column_functions.numbers import clip

        low = float("-inf") if self.low is None else self.low
        return clip(values[0], low, float("inf") if self.high is None else self.high)
