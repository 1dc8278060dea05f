"""``kind: ratio``: one number divided by another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from proml_kedro.models.producers.base import Producer

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Ratio(Producer):
    """The first number divided by the second; missing where one of them is missing or the second is 0."""

    count: ClassVar[int | None] = 2

    kind: Literal["ratio"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the quotient, shape (n,)."""
        from proml_kedro.column_functions.numbers import ratio

        return ratio(values[0], values[1])
