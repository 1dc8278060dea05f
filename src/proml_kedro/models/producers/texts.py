"""``kind: text_overlap`` and ``cross``: functions of texts and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from proml_kedro.errors import Mistake
from proml_kedro.models.producers.base import Producer
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class TextOverlap(Producer):
    """The share of the words in either of two texts that are in both, from 0 to 1 (Jaccard).

    It is missing where a text is missing, and where neither has a word. Words are of letters, digits and underscores;
    upper and lower case are the same.
    """

    takes_numbers: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = True
    count: ClassVar[int | None] = 2

    kind: Literal["text_overlap"]

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the share, shape (n,)."""
        from proml_kedro.column_functions.texts import text_overlap

        return text_overlap(values[0], values[1])


class Cross(Producer):
    """A category for each combination of two or more categories, or of keys; missing where one of them is missing."""

    takes_numbers: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = True
    gives: ClassVar[Dtype] = "str"

    kind: Literal["cross"]

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find a combination of one."""
        if len(inputs) == 1:
            return [Mistake("of", "'cross' combines two categories or more, not 1")]
        return super().check(inputs, problem)

    def compute(self, values: Sequence[Array]) -> Array:
        """Join the categories of each row, shape (n,)."""
        from proml_kedro.column_functions.texts import cross

        return cross(values)
