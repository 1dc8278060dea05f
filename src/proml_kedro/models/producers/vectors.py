"""``kind: dot`` and ``euclidean_distance``: how alike two vectors are, or how far apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from proml_kedro.models.producers.base import Producer

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Dot(Producer):
    """The dot product of two vectors; missing where one of them is missing."""

    takes_numbers: ClassVar[bool] = False
    takes_vectors: ClassVar[bool] = True
    count: ClassVar[int | None] = 2

    kind: Literal["dot"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the product, shape (n,)."""
        from proml_kedro.column_functions.vectors import dot

        return dot(values[0], values[1])


class EuclideanDistance(Producer):
    """The Euclidean distance between two vectors; missing where one of them is missing."""

    takes_numbers: ClassVar[bool] = False
    takes_vectors: ClassVar[bool] = True
    count: ClassVar[int | None] = 2

    kind: Literal["euclidean_distance"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the distance, shape (n,)."""
        from proml_kedro.column_functions.vectors import euclidean_distance

        return euclidean_distance(values[0], values[1])
