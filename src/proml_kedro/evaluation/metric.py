"""What a metric is. A kind of metric is a class in a registry; this module and those of the kinds import no NumPy.

The configuration asks a metric which tasks it fits before any data is read, so NumPy is imported where it is needed
to compute.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from proml_kedro.extensions import metrics, ranking_metrics
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.clustered import ClusteredRows
    from proml_kedro.evaluation.groups import RankedGroups

    Array = npt.NDArray[np.float64]


class Metric(ABC):
    """A figure of merit of scores against labels.

    Register it under its name as an entry point in ``proml_kedro.metrics``, or by
    ``@proml_kedro.extensions.metrics.register(name)``. :func:`proml_kedro.testing.check_metric` proves its laws.

    Attributes:
        tasks: The tasks whose labels it can judge.
        default_for: The tasks for which it is computed when the configuration names no metrics.
        order: Its place among other metrics; the first default of a task decides.
        higher_is_better: Whether a larger figure is a better one.
        needs_order: Whether it is for classes whose order means something, and then computed by default.
        takes_level: Whether it is of a quantile and is written ``name@0.9``.
        level: That quantile.
        meaning: What it says, in a few words.
        keeps_bins: Whether its estimates without each cluster are in bins that all rows have chosen.
    """

    tasks: ClassVar[tuple[Task, ...]]
    default_for: ClassVar[tuple[Task, ...]] = ()
    order: ClassVar[int] = 1000
    higher_is_better: ClassVar[bool]
    needs_order: ClassVar[bool] = False
    takes_level: ClassVar[bool] = False
    level: float = 0.5
    meaning: ClassVar[str]
    keeps_bins: ClassVar[bool] = False

    @abstractmethod
    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute the weighted figure.

        Rows come in ascending order of their score, so that they are sorted once: a comparison computes the figure
        under many weightings of the same rows. The order of rows with equal scores must not matter.

        Args:
            label: What happened, shape (n,); the number of a class, from 0, for task ``multiclass``.
            score: What was predicted, ascending, shape (n,): a probability, or the mean of a number or count. For task
                ``multiclass`` the probability of each class, shape (n, classes), in no order.
            weight: Not negative, shape (n,). A weight of 2 counts as the row twice.

        Returns:
            NaN when the figure is not defined, for example for rows of one class.
        """

    def estimate(self, rows: ClusteredRows) -> float:
        """Compute the figure on the scale on which models are compared; the figure itself unless a kind says more."""
        return self.compute(rows.label, rows.score, rows.weight)

    def without_each(self, rows: ClusteredRows) -> Array | None:
        """Estimate the figure without each cluster at once, shape (clusters,).

        Returns:
            None where there is no faster way than to compute it again for each cluster.
        """
        return None

    def excess(self, rows: ClusteredRows, other: ClusteredRows | None) -> float:
        """Estimate by how much a jackknife makes the variance of the difference of two models too large; 0 for most.

        Args:
            rows: Of the model.
            other: Of the other one; None for the variance of the model's own figure.
        """
        return 0.0

    def effective_clusters(self, rows: ClusteredRows) -> float:
        """Count clusters by their weight: uneven ones say as much as fewer."""
        from proml_kedro.evaluation.clustered import effective_number

        return effective_number(rows.masses)

    def shown(self, estimate: float) -> float:
        """Convert an estimate to the figure that people read."""
        return estimate


class MeanMetric(Metric):
    """Mean over rows of what each adds."""

    @abstractmethod
    def loss(self, label: Array, score: Array) -> Array:
        """Compute what each row adds, shape (n,)."""

    def of_mean(self, mean: Array) -> Array:
        """Convert means to figures, of the same shape."""
        return mean

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute the weighted mean."""
        return float(self.of_mean((weight * self.loss(label, score)).sum() / weight.sum()))

    def without_each(self, rows: ClusteredRows) -> Array:
        """Compute the mean without each cluster, shape (clusters,)."""
        from proml_kedro.evaluation.clustered import ratio, without_each

        sums = rows.sums(rows.weight * self.loss(rows.label, rows.score))
        return self.of_mean(ratio(without_each(sums), without_each(rows.masses)))


class RankingMetric(ABC):
    """A figure of merit of the order of rows within groups.

    Register it under its name as an entry point in ``proml_kedro.ranking_metrics``, or by
    ``@proml_kedro.extensions.ranking_metrics.register(name)``.
    :func:`proml_kedro.testing.check_ranking_metric` proves its laws.

    Attributes:
        has_cut: Whether it looks at the first k rows of a group and is written ``name@k``.
        higher_is_better: Whether a larger figure is a better one.
        meaning: What it says, in a few words; ``{k}`` stands for the number of rows.
    """

    has_cut: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True
    meaning: ClassVar[str]

    @abstractmethod
    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute the figure of each group.

        Args:
            groups: The rows, sorted by group and place.
            k: How many rows of each group to look at; 0 where the metric has no cut.

        Returns:
            Shape (groups,); NaN for a group for which it is not defined, such as one without a positive row.
        """


def find_metric(name: str) -> Metric:
    """Return a metric, by a name such as ``rmse`` or ``pinball@0.9``.

    Raises:
        UnknownNameError: No metric has this name.
    """
    kind, _, level = name.partition("@")
    metric: Metric = metrics.get(kind)()
    if level:
        metric.level = float(level)
    return metric


def find_ranking_metric(name: str) -> tuple[RankingMetric, int]:
    """Return the ranking metric of a name such as ``ndcg@10``, and its k; 0 for a metric of the whole group.

    Raises:
        UnknownNameError: No ranking metric has this name.
    """
    kind, _, k = name.partition("@")
    return ranking_metrics.get(kind)(), int(k or 0)


def higher_is_better(name: str) -> bool:
    """Tell which way is up for a metric or ranking metric; up, when its package is no longer installed."""
    kind = name.partition("@")[0]
    registry = next((one for one in (metrics, ranking_metrics) if kind in one.names()), None)
    return bool(registry.get(kind).higher_is_better) if registry else True


def meaning(name: str) -> str:
    """Say in words what a metric or ranking metric means.

    >>> meaning("precision@3")
    'share of the first 3 places of a group with a positive row'
    """
    if name.partition("@")[0] in metrics.names():
        found = find_metric(name)
        return found.meaning.format(level=found.level)
    metric, k = find_ranking_metric(name)
    return metric.meaning.format(k=k)
