"""Pairs of the rows of a group that count differently: XGBoost's own objectives weigh whole groups alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array, Examples

MOST_PAIRS = 100_000_000
"""More would need gigabytes."""

_LEAST = 1e-16  # of second derivatives, as XGBoost has it

Doubles = npt.NDArray[np.float64]


def weighs_pairs(examples: Examples) -> bool:
    """Tell whether rows of one group have different weights.

    Args:
        examples: In the order of :func:`~proml_kedro.models.xgboost.ranking.by_group`.
    """
    weight, group = examples.weight, examples.group
    return weight is not None and group is not None and bool((np.diff(weight)[np.diff(group) == 0] != 0).any())


class PairObjective:
    """The logistic loss of differences of margins (RankNet), each pair with the weight of its better row.

    So a click that is seen with a third of the probability can count three times (Joachims, Swaminathan and Schnabel,
    "Unbiased learning-to-rank with biased feedback", WSDM 2017). Listwise, a pair counts what swapping it changes in
    NDCG besides (Burges, "From RankNet to LambdaRank to LambdaMART", 2010).

    Args:
        examples: In the order of :func:`~proml_kedro.models.xgboost.ranking.by_group`.
        listwise: Whether to weigh by NDCG.

    Raises:
        ValueError: There are no weights or groups, or more than :data:`MOST_PAIRS` pairs; the message is for the user.
    """

    def __init__(self, examples: Examples, listwise: bool) -> None:
        weight, group = examples.weight, examples.group
        if weight is None or group is None:
            raise ValueError("pairs have weights within groups, and the examples have none")
        _, self._codes = np.unique(group, return_inverse=True)
        self._label = examples.label
        self._better, self._worse = _pairs(self._codes, examples.label)
        self._weight = weight[self._better]
        self._ideal = self._ideal_gains() if listwise else None

    def __call__(self, margin: Array, data: Any) -> tuple[Doubles, Doubles]:
        """Compute the first and the second derivative of the loss by each margin, shape (n,)."""
        values, rows = margin.astype(np.float64), len(margin)
        chance = sigmoid(values[self._worse] - values[self._better])
        weight = self._weight if self._ideal is None else self._weight * self._swaps(values, self._ideal)
        slope, bend = weight * chance, np.maximum(weight * chance * (1 - chance), _LEAST)
        first = _sums(self._worse, slope, rows) - _sums(self._better, slope, rows)
        return first, _sums(self._worse, bend, rows) + _sums(self._better, bend, rows)

    def _swaps(self, margin: Doubles, ideal: Doubles) -> Doubles:
        """What swapping each pair changes in the NDCG of its group."""
        discount = _discounts(self._codes, -margin)
        gain = self._label[self._better] - self._label[self._worse]
        change = np.abs(discount[self._better] - discount[self._worse])
        return np.asarray(gain * change / ideal[self._codes[self._better]], np.float64)

    def _ideal_gains(self) -> Doubles:
        """The DCG of the best order of each group; labels are 0 or 1, so they are the gains."""
        discount = _discounts(self._codes, -self._label)
        return _sums(self._codes, self._label * discount, int(self._codes.max(initial=-1)) + 1)


def _sums(places: Array, values: Doubles, length: int) -> Doubles:
    return np.asarray(np.bincount(places, values, length), np.float64)


def _pairs(codes: Array, label: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pair each positive row with each negative one of its group.

    Args:
        codes: Groups, numbered from 0, shape (n,), rising.
        label: 0 or 1, shape (n,).
    """
    positive, negative = np.flatnonzero(label > 0), np.flatnonzero(label <= 0)
    counts = np.bincount(codes[negative], minlength=int(codes.max(initial=-1)) + 1)
    first = np.cumsum(counts) - counts  # where the negative rows of each group begin
    times = counts[codes[positive]]
    total = int(times.sum())
    if total > MOST_PAIRS:
        raise ValueError(f"weights that differ within groups compare {total:,} pairs; at most {MOST_PAIRS:,} can be")
    turn = np.arange(total) - np.repeat(np.cumsum(times) - times, times)
    return np.repeat(positive, times), negative[np.repeat(first[codes[positive]], times) + turn]


def _discounts(codes: Array, order: Array) -> Doubles:
    """What a place counts in DCG, of rows in the order of some values within their groups, the smallest first."""
    rows = np.lexsort((order, codes))
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    place = np.empty(len(codes))
    place[rows] = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    return np.asarray(1 / np.log2(place + 2), np.float64)
