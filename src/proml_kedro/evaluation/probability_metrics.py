"""Metrics of probabilities against labels that are 0 or 1; the calibration error suits every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

_CALIBRATION_BINS = 15


class Auc(Metric):
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


class AveragePrecision(Metric):
    """Precision at each threshold, weighted by the recall that the threshold adds."""

    tasks = ("binary",)
    order = 20
    higher_is_better = True
    meaning = "mean precision over all thresholds"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN without a positive row."""
        import numpy as np

        starts = _tie_starts(score)
        positive = np.add.reduceat(weight * label, starts)[::-1]
        taken = np.cumsum(np.add.reduceat(weight, starts)[::-1])
        if positive.sum() == 0:
            return float("nan")
        precision = np.divide(np.cumsum(positive), taken, out=np.zeros_like(taken), where=taken > 0)
        return float((positive * precision).sum() / positive.sum())


class LogLoss(Metric):
    """Mean negative log-likelihood, in nats."""

    tasks = ("binary", "multiclass")
    default_for = ("binary", "multiclass")
    order = 30
    higher_is_better = False
    meaning = "mean negative log-likelihood, in nats"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; a probability of 0 for what happened counts as 1e-15."""
        import numpy as np

        if score.ndim == 2:
            of_outcome = score[np.arange(len(label)), label.astype(np.int64)]
        else:
            of_outcome = np.where(label > 0, score, 1 - score)
        of_outcome = np.clip(of_outcome, 1e-15, 1.0)
        return float(-(weight * np.log(of_outcome)).sum() / weight.sum())


class Brier(Metric):
    """Mean squared difference between probability and label."""

    tasks = ("binary",)
    default_for = ("binary",)
    order = 40
    higher_is_better = False
    meaning = "mean squared error of the probability"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        return float((weight * (score - label) ** 2).sum() / weight.sum())


class CalibrationError(Metric):
    """Expected calibration error: mean gap between prediction and outcome, over 15 bins of about equal weight.

    Rows with equal scores are in one bin, so that their order does not matter. Of several classes it is the mean of
    each one's (Kull et al. 2019, "Beyond temperature scaling", there classwise).
    """

    tasks = ("binary", "multiclass", "regression", "count")
    default_for = ("binary", "multiclass", "regression", "count")
    order = 90
    higher_is_better = False
    meaning = "mean gap between what is said and what happens"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        import numpy as np

        if score.ndim == 2:
            orders = np.argsort(score, axis=0, kind="stable").T
            each = enumerate(zip(orders, score.T, strict=True))
            return float(np.mean([self.compute((label == n)[o] * 1.0, s[o], weight[o]) for n, (o, s) in each]))
        starts = _tie_starts(score)
        shares = np.cumsum(np.add.reduceat(weight, starts)) / weight.sum()
        gaps = np.add.reduceat(weight * (score - label), starts)
        # A score belongs to the bin in which the last of its rows lies.
        bin_of = np.searchsorted(np.arange(_CALIBRATION_BINS) / _CALIBRATION_BINS, shares, "left")
        return float(np.abs(np.bincount(bin_of, gaps)).sum() / weight.sum())


def _tie_starts(score: Array) -> npt.NDArray[np.int64]:
    """Find the first row of each run of equal scores."""
    import numpy as np

    return np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])
