"""Formulas that several packages share, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def in_shares(shares: Mapping[str, float], most: int = 5) -> str:
    """Write shares by name, the largest first.

    >>> in_shares({"setosa": 0.25, "virginica": 0.75})
    'virginica 75.0%, setosa 25.0%'

    Args:
        shares: Name → share.
        most: How many names are written.
    """
    ordered = sorted(shares, key=lambda name: -shares[name])
    more = f" and {len(ordered) - most:,} more" if len(ordered) > most else ""
    return ", ".join(f"{name} {shares[name]:.1%}" for name in ordered[:most]) + more


def sigmoid(margin: AnyArray) -> Doubles:
    """Convert log-odds to probabilities, in float64.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin.astype(np.float64))))  # no overflow, unlike exp


def softmax(margin: AnyArray) -> Doubles:
    """Convert margins of classes to probabilities that sum to 1 in each row, in float64.

    >>> softmax(np.array([[0.0, 1000.0], [-5.0, -5.0]])).tolist()
    [[0.0, 1.0], [0.5, 0.5]]

    Args:
        margin: Finite, shape (n, classes).
    """
    known = np.exp(margin.astype(np.float64) - margin.max(axis=1, keepdims=True))
    return np.asarray(known / known.sum(axis=1, keepdims=True))


def auc(label: AnyArray, score: AnyArray, weight: AnyArray | None = None) -> float:
    """Compute the area under the ROC curve: how often a positive row has the higher score; ties count half.

    Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically larger than the other".

    Args:
        label: 0 or 1, shape (n,).
        score: In any order, shape (n,).
        weight: How much each row counts, shape (n,); all the same when left out.

    Returns:
        NaN when one class is missing.

    >>> auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    order = np.argsort(score, kind="stable")
    positive = np.asarray(label, np.float64)[order]
    counts = np.ones(len(order)) if weight is None else np.asarray(weight, np.float64)[order]
    none = np.zeros(len(order), np.int64)
    return float(auc_by_group(counts * positive, counts * (1 - positive), score[order], none)[0])


def auc_by_group(positive: Doubles, negative: Doubles, score: AnyArray, group: Ints) -> Doubles:
    """Compute the area under the ROC curve within each group.

    Args:
        positive: Weight of each row as a positive one, shape (n,).
        negative: Weight of each row as a negative one, shape (n,).
        score: Shape (n,); rows are sorted by group and, within it, by ascending score.
        group: Numbered from 0 without gaps, ascending, shape (n,).

    Returns:
        Shape (groups,); NaN where one class is missing.
    """
    won = won_pairs(positive, negative, score, group)
    pairs = np.bincount(group, positive) * np.bincount(group, negative)
    return np.asarray(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))


def won_pairs(positive: Doubles, negative: Doubles, score: AnyArray, group: Ints) -> Doubles:
    """Sum the weights of pairs within each group in which the positive row has the higher score; ties count half.

    Arguments are those of :func:`auc_by_group`; the sums are of shape (groups,).
    """
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(score) != 0) | (np.diff(group) != 0)]))
    group_of = group[starts]
    groups = int(group_of[-1]) + 1
    positive, negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    negatives = np.bincount(group_of, negative, groups)
    below = np.cumsum(negative) - negative - (np.cumsum(negatives) - negatives)[group_of]
    return np.bincount(group_of, positive * (below + 0.5 * negative), groups).astype(np.float64)


def places(group: Ints, score: AnyArray) -> Ints:
    """Number the rows of each group from 1 by falling score; rows with equal scores keep their order.

    Args:
        group: Shape (n,).
        score: Shape (n,).

    >>> places(np.array([0, 1, 0]), np.array([0.1, 0.5, 0.7])).tolist()
    [2, 1, 1]
    """
    order = np.lexsort((-score, group))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(group[order]) != 0]))
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(1, len(order) + 1) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return found


def ndcg(gain: AnyArray, place: Ints, group: Ints, k: int) -> Doubles:
    """Compute the discounted cumulated gain of the first k rows of each group, over that of the best order.

    Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".

    Args:
        gain: Not negative, shape (n,).
        place: Of each row in its group, from 1, shape (n,).
        group: Numbered from 0 without gaps, shape (n,).
        k: How many rows of each group count.

    Returns:
        Shape (groups,); NaN for a group without gain.
    """
    reached, best = (_discounted(gain, by, group, k) for by in (place, places(group, gain)))
    return np.asarray(np.divide(reached, best, out=np.full(len(best), np.nan), where=best > 0))


def _discounted(gain: AnyArray, place: Ints, group: Ints, k: int) -> Doubles:
    return np.bincount(group, np.where(place <= k, gain / np.log2(place + 1.0), 0.0)).astype(np.float64)
