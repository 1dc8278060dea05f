"""``kind: cosine_similarity``: the cosine of the angle between two vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from proml_kedro.models.producers.base import Producer

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class CosineSimilarity(Producer):
    """The cosine of the angle between two vectors, from -1 to 1; missing where one of them is missing or zero."""

    takes_numbers: ClassVar[bool] = False
    takes_vectors: ClassVar[bool] = True
    count: ClassVar[int | None] = 2

    kind: Literal["cosine_similarity"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the cosine, shape (n,)."""
        from proml_kedro.column_functions.vectors import cosine_similarity

        return cosine_similarity(values[0], values[1])
