"""``kind: bucketize``: a number as a category."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat, field_validator

from proml_kedro.models.producers.base import Producer
from proml_kedro.spec.dtype import Dtype

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Bucketize(Producer):
    """The interval that a number lies in, as a category: ``0`` below the first bound, ``1`` from there on, and so on.

    Attributes:
        bounds: Where intervals begin, in ascending order; a number equal to a bound belongs to the interval above it.
    """

    count: ClassVar[int | None] = 1
    gives: ClassVar[Dtype] = "str"

    kind: Literal["bucketize"]
    bounds: Annotated[list[FiniteFloat], Field(min_length=1)]

    @field_validator("bounds")
    @classmethod
    def _ascend(cls, value: list[float]) -> list[float]:
        if any(low >= high for low, high in itertools.pairwise(value)):
            raise ValueError("must be in ascending order, each once")
        return value

    def compute(self, values: Sequence[Array]) -> Array:
        """Number the interval as text, shape (n,); None where the number is missing."""
        import numpy as np

        names = np.array([*map(str, range(len(self.bounds) + 1)), None], object)
        numbers = values[0]
        found = np.searchsorted(np.asarray(self.bounds, numbers.dtype), numbers, side="right")
        return names[np.where(np.isnan(numbers), len(names) - 1, found)]
