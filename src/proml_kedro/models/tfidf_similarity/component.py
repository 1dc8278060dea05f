"""``kind: tfidf_similarity``: how much two texts say the same."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.column_functions.texts import tfidf_similarity, words_of
from proml_kedro.models.component import Columns, Component, Examples, FitContext, Input
from proml_kedro.models.tfidf_similarity.spec import TfidfSimilaritySpec
from proml_kedro.spec.model import ComponentSpec


class TfidfSimilarity(Component):
    """The cosine of two texts as vectors of weighted words; what it learns is how rare words are."""

    Spec: ClassVar[type[ComponentSpec]] = TfidfSimilaritySpec
    spec: TfidfSimilaritySpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._texts = 0
        self._counts: dict[str, int] = {}
        self._weights: dict[str, float] = {}

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Count in how many of the different texts of the training period each word is."""
        columns = (train.columns[one.name].tolist() for one in self.inputs)
        texts = {text for column in columns for text in column if text is not None}
        counts = Counter(word for text in texts for word in set(words_of(text)))
        self._learn(len(texts), dict(sorted(counts.items())))

    def _learn(self, texts: int, counts: dict[str, int]) -> None:
        self._texts, self._counts = texts, counts
        self._weights = {word: self._weight(count) for word, count in counts.items()}

    def _weight(self, count: int) -> float:
        return 1 + math.log((1 + self._texts) / (1 + count))

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Compute the similarity of each row's two texts, shape (n,); a word that is new is the rarest."""
        left, right = (columns[one.name] for one in self.inputs)
        return {"value": tfidf_similarity(left, right, self._weights, self._weight(0))}

    def save(self, folder: Path) -> None:
        """Write ``words.json``."""
        (folder / "words.json").write_text(json.dumps({"texts": self._texts, "counts": self._counts}))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        component = cls(spec, inputs)
        learned = json.loads((folder / "words.json").read_text())
        component._learn(learned["texts"], learned["counts"])
        return component

    def summary(self) -> dict[str, Any]:
        """Count the texts and words."""
        return {"texts": self._texts, "words": len(self._counts)}
