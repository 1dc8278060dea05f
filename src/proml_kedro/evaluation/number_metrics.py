"""Metrics of predicted means against labels that are numbers or counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import MeanMetric, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.clustered import ClusteredRows

    Array = npt.NDArray[np.float64]


class PoissonDeviance(MeanMetric):
    """Mean deviance of a Poisson distribution: twice the log-likelihood that is lost against knowing each count."""

    tasks = ("count",)
    default_for = ("count",)
    order = 50
    higher_is_better = False
    meaning = "mean deviance of a Poisson distribution"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute the deviance of each row; a mean below 1e-15 counts as 1e-15."""
        import numpy as np

        mean = np.maximum(score, 1e-15)
        logarithm = np.log(np.where(label > 0, label, 1.0) / mean)
        return np.asarray(2 * (np.where(label > 0, label * logarithm, 0.0) - label + mean))


class Rmse(MeanMetric):
    """Root of the mean squared error."""

    tasks = ("regression", "count")
    default_for = ("regression", "count")
    order = 60
    higher_is_better = False
    meaning = "root of the mean squared error"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute the squared error of each row."""
        return (score - label) ** 2

    def of_mean(self, mean: Array) -> Array:
        """Take the root; what rounding has left below 0 counts as 0."""
        import numpy as np

        return np.asarray(np.sqrt(np.maximum(mean, 0.0)))


class Mae(MeanMetric):
    """Mean absolute error."""

    tasks = ("regression", "count")
    default_for = ("regression", "count")
    order = 70
    higher_is_better = False
    meaning = "mean absolute error"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute the absolute error of each row."""
        return abs(score - label)


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

    def without_each(self, rows: ClusteredRows) -> Array:
        """Compute it without each cluster, shape (clusters,), from sums about the mean of all."""
        from proml_kedro.evaluation.clustered import ratio, without_each

        centred = rows.label - (rows.weight * rows.label).sum() / rows.masses.sum()
        error, square, sums, mass = (
            without_each(rows.sums(rows.weight * values))
            for values in ((rows.score - rows.label) ** 2, centred**2, centred, 1.0)
        )
        return 1 - ratio(error, square - ratio(sums**2, mass))


class Pinball(MeanMetric):
    """Mean pinball loss of a quantile: too low costs its level a unit, too high the rest (Koenker and Bassett 1978)."""

    tasks = ("regression", "count")
    order = 65
    higher_is_better = False
    takes_level = True
    meaning = "mean pinball loss of the quantile {level:g}"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute that of each row."""
        import numpy as np

        short = label - score
        return np.asarray(np.maximum(self.level * short, (self.level - 1) * short))
