"""Metrics of predicted means against labels that are numbers or counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class PoissonDeviance(Metric):
    """Mean deviance of a Poisson distribution: twice the log-likelihood that is lost against knowing each count."""

    tasks = ("count",)
    default_for = ("count",)
    order = 50
    higher_is_better = False
    meaning = "mean deviance of a Poisson distribution"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; a mean below 1e-15 counts as 1e-15."""
        import numpy as np

        mean = np.maximum(score, 1e-15)
        logarithm = np.log(np.where(label > 0, label, 1.0) / mean)
        return float(2 * (weight * (np.where(label > 0, label * logarithm, 0.0) - label + mean)).sum() / weight.sum())


class Rmse(Metric):
    """Root of the mean squared error."""

    tasks = ("regression", "count")
    default_for = ("regression", "count")
    order = 60
    higher_is_better = False
    meaning = "root of the mean squared error"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        return math.sqrt((weight * (score - label) ** 2).sum() / weight.sum())


class Mae(Metric):
    """Mean absolute error."""

    tasks = ("regression", "count")
    default_for = ("regression", "count")
    order = 70
    higher_is_better = False
    meaning = "mean absolute error"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        return float((weight * abs(score - label)).sum() / weight.sum())


class R2(Metric):
    """Share of the labels' variance that the score explains."""

    tasks = ("regression", "count")
    default_for = ("regression",)
    order = 80
    higher_is_better = True
    meaning = "share of the variance that is explained"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN for labels that are all equal."""
        mean = (weight * label).sum() / weight.sum()
        variance = (weight * (label - mean) ** 2).sum()
        return float(1 - (weight * (score - label) ** 2).sum() / variance) if variance > 0 else float("nan")


class Pinball(Metric):
    """Mean pinball loss of a quantile: too low costs its level a unit, too high the rest (Koenker and Bassett 1978)."""

    tasks = ("regression", "count")
    order = 65
    higher_is_better = False
    takes_level = True
    meaning = "mean pinball loss of the quantile {level:g}"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        import numpy as np

        short = label - score
        return float((weight * np.maximum(self.level * short, (self.level - 1) * short)).sum() / weight.sum())
