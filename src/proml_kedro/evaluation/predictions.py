"""The scores of one model, ready to be measured again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.metric import find_metric

Array = npt.NDArray[np.float64]


class Predictions:
    """Scores of one model, sorted once, to be measured under many weightings of the rows.

    Args:
        label: What happened, shape (n,).
        score: What was predicted, shape (n,); probabilities of classes, shape (n, classes), are not sorted.
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike) -> None:
        score = np.asarray(score, np.float64)
        self._order = np.argsort(score, kind="stable") if score.ndim == 1 else np.arange(len(score))
        self._score = score[self._order]
        self._label = np.asarray(label, np.float64)[self._order]

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Compute each metric, by name.

        Args:
            names: Which metrics.
            weight: Of the rows in their own order, shape (n,); equal when None.

        Raises:
            UnknownNameError: No metric has one of the names.

        >>> Predictions([0, 0, 1], [0.1, 0.4, 0.8]).measure(["auc"])
        {'auc': 1.0}
        """
        sorted_weight = np.ones(len(self._order)) if weight is None else weight[self._order]
        return {name: find_metric(name).compute(self._label, self._score, sorted_weight) for name in names}
