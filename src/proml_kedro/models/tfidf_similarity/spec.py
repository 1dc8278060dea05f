"""What the YAML of ``kind: tfidf_similarity`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from proml_kedro.errors import Mistake
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task


class TfidfSimilaritySpec(ComponentSpec):
    """How much two texts say the same, from 0 to 1, where rare words count more than frequent ones.

    It is the cosine of their vectors of words, each counted ``1 + ln((1 + n) / (1 + df))`` times as often as it occurs:
    training has n different texts, and the word is in df of them. It is missing where a text is missing or has no word.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass", "regression", "count"})
    requires: ClassVar[tuple[str, ...]] = ("numpy",)
    reads_labels: ClassVar[bool] = False
    takes_numbers: ClassVar[bool] = False

    kind: Literal["tfidf_similarity"]

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the similarity."""
        return (Output("value"),)

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find too few or too many texts."""
        if len(inputs) != 2:
            return [Mistake("inputs", f"'tfidf_similarity' compares two texts, not {len(inputs)}")]
        return []
