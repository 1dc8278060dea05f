"""Metrics of an order: are the rows that turn out positive put before the others of their group?

Every figure is computed within each group and then averaged, each group counting the same. Rows with equal scores are
put in random order, by a fixed seed: any other order, such as that of the file, may know something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class Ranked:
    """Rows sorted by group and, within it, by descending score; to be measured under many weightings of the groups.

    Args:
        label: 0 or 1, shape (n,).
        score: Shape (n,).
        group: The group of each row, numbered from 0 without gaps, shape (n,).
        seed: Of the order of equal scores.

    Attributes:
        positive: Which rows are positive, sorted, shape (n,).
        score: Of the sorted rows.
        group: Of the sorted rows, ascending.
        place: Of the sorted rows in their group, from 1.
        sizes: Rows of each group, shape (groups,).
        positives: Positive rows of each group, shape (groups,).
    """

    def __init__(self, label: npt.ArrayLike, score: npt.ArrayLike, group: Ints, seed: int = 0) -> None:
        score = np.asarray(score, np.float64)
        shuffled = np.random.default_rng(seed).permutation(len(score))
        descending = shuffled[np.argsort(-score[shuffled], kind="stable")]
        order = descending[np.argsort(group[descending], kind="stable")]
        self.positive = np.asarray(label)[order] > 0
        self.score = score[order]
        self.group = group[order]
        self.sizes = np.bincount(group)
        self.place = np.arange(1, len(score) + 1) - self.each(np.cumsum(self.sizes) - self.sizes)
        self.positives = self.sum(self.positive)
        self._found: dict[str, Array] = {}

    def each(self, of_groups: AnyArray) -> AnyArray:
        """Values of the groups, for each of their rows; shape (n,)."""
        return np.repeat(of_groups, self.sizes)

    def sum(self, of_rows: AnyArray) -> Array:
        """Sums over the rows of each group, shape (groups,)."""
        return np.bincount(self.group, of_rows.astype(np.float64), len(self.sizes)).astype(np.float64)

    def of_groups(self, metric: str) -> Array:
        """A metric of each group, shape (groups,); NaN where it is not defined.

        Args:
            metric: ``ndcg@10``, ``mrr`` and so on.
        """
        if metric not in self._found:
            name, _, k = metric.partition("@")
            self._found[metric] = _WITH_CUT[name](self, int(k)) if k else _WHOLE[name](self)
        return self._found[metric]

    def measure(self, names: Sequence[str], weight: Array | None = None) -> Mapping[str, float]:
        """Each metric, averaged over the groups for which it is defined; NaN when there is none.

        Args:
            names: Which metrics.
            weight: Of the groups, shape (groups,); equal when None.
        """
        weight = np.ones(len(self.sizes)) if weight is None else weight
        return {name: _mean(self.of_groups(name), weight) for name in names}


def _mean(values: Array, weight: Array) -> float:
    defined = np.isfinite(values)
    total = weight[defined].sum()
    return float((values[defined] * weight[defined]).sum() / total) if total else float("nan")


def _share(part: AnyArray, whole: AnyArray) -> Array:
    """Quotients, NaN where the denominator is zero."""
    quotient: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return quotient


def ndcg(rows: Ranked, k: int) -> Array:
    """Discounted cumulated gain of the first k rows, over that of the best order (Järvelin and Kekäläinen, 2002)."""
    gain = np.where(rows.place <= k, 1 / np.log2(rows.place + 1.0), 0.0)
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2.0, k + 2)))])
    return _share(rows.sum(gain * rows.positive), best[np.minimum(rows.positives, k).astype(int)])


def precision(rows: Ranked, k: int) -> Array:
    """Positive rows among the first k, over k; not defined without a positive row in the group."""
    found = rows.sum(rows.positive & (rows.place <= k)) / k
    found[rows.positives == 0] = np.nan
    return found


def recall(rows: Ranked, k: int) -> Array:
    """Positive rows among the first k, over all positive rows."""
    return _share(rows.sum(rows.positive & (rows.place <= k)), rows.positives)


def average_precision(rows: Ranked, k: int) -> Array:
    """Precision at the places of positive rows among the first k, over as many of them as there could be."""
    seen = np.cumsum(rows.positive)
    before = rows.each(np.cumsum(rows.positives) - rows.positives)
    at_place = np.where(rows.positive & (rows.place <= k), (seen - before) / rows.place, 0.0)
    return _share(rows.sum(at_place), np.minimum(rows.positives, k))


def reciprocal_rank(rows: Ranked) -> Array:
    """One over the place of the first positive row."""
    first = np.zeros(len(rows.sizes))
    positive = np.flatnonzero(rows.positive)[::-1]  # the first one of a group is written last
    first[rows.group[positive]] = 1 / rows.place[positive]
    first[rows.positives == 0] = np.nan
    return first


def area(rows: Ranked) -> Array:
    """How often a positive row has a higher score than a negative one of its group; ties count half."""
    tie = np.cumsum(np.concatenate([[True], (np.diff(rows.score) != 0) | (np.diff(rows.group) != 0)])) - 1
    positive, negative = np.bincount(tie, rows.positive), np.bincount(tie, ~rows.positive)
    group = rows.group[np.flatnonzero(np.diff(tie, prepend=-1))]
    negatives = rows.sizes - rows.positives
    above = np.cumsum(negative) - (np.cumsum(negatives) - negatives)[group]  # with those of the same score
    won = positive * (negatives[group] - above + 0.5 * negative)
    return _share(np.bincount(group, won, len(rows.sizes)), rows.positives * negatives)


_WITH_CUT: dict[str, Callable[[Ranked, int], Array]] = {
    "ndcg": ndcg,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
}
_WHOLE: dict[str, Callable[[Ranked], Array]] = {"mrr": reciprocal_rank, "group_auc": area}

_MEANINGS = {
    "ndcg": "gain of the first {k} rows of a group, less for lower places, as a share of the best order's",
    "precision": "share of the first {k} places of a group with a positive row",
    "recall": "share of a group's positive rows that are among the first {k}",
    "map": "mean precision at the places of the positive rows among the first {k}",
    "mrr": "one over the place of a group's first positive row",
    "group_auc": "how often a positive row is ranked above a negative one of its group",
}


def meaning(metric: str) -> str:
    """What a ranking metric says, in words."""
    name, _, k = metric.partition("@")
    return _MEANINGS[name].format(k=k)
