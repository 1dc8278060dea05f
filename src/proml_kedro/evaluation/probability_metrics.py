"""Metrics of probabilities against labels that are 0 or 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import MeanMetric, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.clustered import ClusteredRows

    Array = npt.NDArray[np.float64]


class OrderMetric(Metric):
    """Metric of the order of rows of two classes."""

    def effective_clusters(self, rows: ClusteredRows) -> float:
        """Count clusters by the weight of the class that is spread over fewer of them."""
        from proml_kedro.evaluation.clustered import effective_number

        return min(effective_number(rows.sums(rows.weight * one)) for one in (rows.label, 1 - rows.label))


class Auc(OrderMetric):
    """Area under the ROC curve; ties count half."""

    tasks = ("binary",)
    default_for = ("binary",)
    order = 10
    higher_is_better = True
    meaning = "how often a positive row is ranked above a negative one"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN for rows of one class."""
        import numpy as np

        from proml_kedro.formulas import auc_by_group

        one_group = np.zeros(len(score), np.int64)
        return float(auc_by_group(weight * label, weight * (1 - label), score, one_group)[0])

    def without_each(self, rows: ClusteredRows) -> Array:
        """Compute it without each cluster, shape (clusters,).

        The pairs that a cluster takes away are those of its positive rows with all negative ones, and of its negative
        rows with all positive ones; those within it are counted twice.
        """
        import numpy as np

        from proml_kedro.evaluation.clustered import ratio, without_each
        from proml_kedro.formulas import won_pairs

        positive, negative = rows.weight * rows.label, rows.weight * (1 - rows.label)
        tie = np.cumsum(np.concatenate([[0], np.diff(rows.score) != 0]))
        of_tie = np.bincount(tie, negative), np.bincount(tie, positive)
        below = (np.cumsum(of_tie[0]) - 0.5 * of_tie[0])[tie]
        above = (of_tie[1].sum() - np.cumsum(of_tie[1]) + 0.5 * of_tie[1])[tie]
        by_cluster = np.argsort(rows.cluster, kind="stable")
        positives, negatives, score = (one[by_cluster] for one in (positive, negative, rows.score))
        within = won_pairs(positives, negatives, score, rows.cluster[by_cluster])
        taken = rows.sums(positive * below) + rows.sums(negative * above) - within
        pairs = without_each(rows.sums(positive)) * without_each(rows.sums(negative))
        return ratio((positive * below).sum() - taken, pairs)


class AveragePrecision(OrderMetric):
    """Precision at each threshold, weighted by the recall that the threshold adds."""

    tasks = ("binary",)
    order = 20
    higher_is_better = True
    meaning = "mean precision over all thresholds"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN without a positive row."""
        import numpy as np

        starts = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])
        positive = np.add.reduceat(weight * label, starts)[::-1]
        taken = np.cumsum(np.add.reduceat(weight, starts)[::-1])
        if positive.sum() == 0:
            return float("nan")
        precision = np.divide(np.cumsum(positive), taken, out=np.zeros_like(taken), where=taken > 0)
        return float((positive * precision).sum() / positive.sum())


class LogLoss(MeanMetric):
    """Mean negative log-likelihood, in nats."""

    tasks = ("binary", "multiclass")
    default_for = ("binary", "multiclass")
    order = 30
    higher_is_better = False
    meaning = "mean negative log-likelihood, in nats"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute that of each row; a probability of 0 for what happened counts as 1e-15."""
        import numpy as np

        if score.ndim == 2:
            of_outcome = score[np.arange(len(label)), label.astype(np.int64)]
        else:
            of_outcome = np.where(label > 0, score, 1 - score)
        return np.asarray(-np.log(np.clip(of_outcome, 1e-15, 1.0)))


class Brier(MeanMetric):
    """Mean squared difference between probability and label."""

    tasks = ("binary",)
    default_for = ("binary",)
    order = 40
    higher_is_better = False
    meaning = "mean squared error of the probability"

    def loss(self, label: Array, score: Array) -> Array:
        """Compute that of each row."""
        return (score - label) ** 2
