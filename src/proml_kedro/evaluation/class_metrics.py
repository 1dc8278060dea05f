"""Metrics of the probabilities of several classes against the number of the class that was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proml_kedro.evaluation.metric import MeanMetric, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


class Accuracy(MeanMetric):
    """Share of rows whose most probable class is the right one; of equal probabilities the first class counts."""

    tasks = ("multiclass",)
    default_for = ("multiclass",)
    order = 31
    higher_is_better = True
    meaning = "share of rows whose most probable class is right"

    def loss(self, label: Array, score: Array) -> Array:
        """Tell which rows are right: 1, otherwise 0."""
        import numpy as np

        return np.asarray(score.argmax(axis=1) == label, np.float64)


class MacroF1(Metric):
    """Mean over classes of the harmonic mean of precision and recall; each class counts the same.

    A class that no row has and that is predicted of none is left out.
    """

    tasks = ("multiclass",)
    default_for = ("multiclass",)
    order = 32
    higher_is_better = True
    meaning = "mean F1 of the classes, each counting the same"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        f1, rows, said = _f1(label, score, weight)
        return float(f1[rows + said > 0].mean())


class WeightedF1(Metric):
    """Mean over classes of the harmonic mean of precision and recall; each class counts by its rows."""

    tasks = ("multiclass",)
    default_for = ("multiclass",)
    order = 33
    higher_is_better = True
    meaning = "mean F1 of the classes, each counting by its rows"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it."""
        f1, rows, _ = _f1(label, score, weight)
        return float((f1 * rows).sum() / rows.sum())


class OneVersusRestAuc(Metric):
    """Mean over classes of the area under the ROC curve of each against all others; ties count half.

    Each class counts the same (Hand and Till 2001, section 3). Undefined where a class has no row.
    """

    tasks = ("multiclass",)
    default_for = ("multiclass",)
    order = 34
    higher_is_better = True
    meaning = "mean AUC of each class against the others"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN where a class has no row."""
        import numpy as np

        from proml_kedro.formulas import auc_by_group

        areas = []
        one_group = np.zeros(len(label), np.int64)
        for number, probability in enumerate(score.T):
            order = np.argsort(probability, kind="stable")
            of_class, rows = (label == number)[order], weight[order]
            areas.append(float(auc_by_group(rows * of_class, rows * ~of_class, probability[order], one_group)[0]))
        return float(np.mean(areas))


class TopAccuracy(MeanMetric):
    """Share of rows whose class is among the k most probable ones; of equal probabilities the first class counts."""

    tasks = ("multiclass",)
    higher_is_better = True
    k: int

    def loss(self, label: Array, score: Array) -> Array:
        """Tell which rows' class is among the first: 1, otherwise 0."""
        import numpy as np

        own = score[np.arange(len(label)), label.astype(np.int64)][:, None]
        earlier = np.arange(score.shape[1]) < label[:, None]
        before = ((score > own) | ((score == own) & earlier)).sum(axis=1)
        return np.asarray(before < self.k, np.float64)


class Top2Accuracy(TopAccuracy):
    """Share of rows whose class is one of the two most probable."""

    order = 35
    meaning = "share of rows whose class is one of the 2 most probable"
    k = 2


class Top3Accuracy(TopAccuracy):
    """Share of rows whose class is one of the three most probable."""

    order = 36
    meaning = "share of rows whose class is one of the 3 most probable"
    k = 3


class Top5Accuracy(TopAccuracy):
    """Share of rows whose class is one of the five most probable."""

    order = 37
    meaning = "share of rows whose class is one of the 5 most probable"
    k = 5


class ClassDistance(MeanMetric):
    """Mean number of places between the most probable class and the right one, for classes with an order."""

    tasks = ("multiclass",)
    order = 38
    higher_is_better = False
    needs_order = True
    meaning = "mean number of places between the most probable class and the right one"

    def loss(self, label: Array, score: Array) -> Array:
        """Count the places of each row."""
        return abs(score.argmax(axis=1) - label)


class QuadraticKappa(Metric):
    """Agreement of the most probable class with the right one beyond chance, for classes with an order.

    A mistake counts by the square of its places (Cohen 1968, "Weighted kappa").
    """

    tasks = ("multiclass",)
    order = 39
    higher_is_better = True
    needs_order = True
    meaning = "agreement beyond chance, a mistake counting by the square of its places"

    def compute(self, label: Array, score: Array, weight: Array) -> float:
        """Compute it; NaN where all rows have, and are said to have, one class."""
        import numpy as np

        table = confusion(label, score, weight)
        places = np.arange(len(table))
        apart = (places[:, None] - places) ** 2
        chance = (apart * np.outer(table.sum(axis=1), table.sum(axis=0))).sum() / table.sum()
        return float(1 - (apart * table).sum() / chance) if chance else float("nan")


def confusion(label: Array, score: Array, weight: Array) -> Array:
    """Sum the weights of the rows of each class, by their most probable class; shape (classes, classes)."""
    import numpy as np

    classes = score.shape[1]
    cell = label.astype(np.int64) * classes + score.argmax(axis=1)
    return np.bincount(cell, weight, classes**2).astype(np.float64).reshape(classes, classes)


def _f1(label: Array, score: Array, weight: Array) -> tuple[Array, Array, Array]:
    """F1 of each class, the weight of its rows, and of the rows that it is said of; shape (classes,) each."""
    import numpy as np

    table = confusion(label, score, weight)
    rows, said = table.sum(axis=1), table.sum(axis=0)
    return np.divide(2 * table.diagonal(), rows + said, out=np.zeros(len(rows)), where=rows + said > 0), rows, said
