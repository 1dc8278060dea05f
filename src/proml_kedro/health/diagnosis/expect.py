"""What was to be expected of each row, from rows of before: an effect of each value, and of each pair of values.

Effects are random ones: they are pulled towards none by as much as noise alone would make them differ, so that rare
values and pairs say nothing of their own. Estimated effect by effect (backfitting), with variances by their moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SWEEPS = 6
_LEAST = 1e-12
_SLOPE = 0.3
"""Deviation of slopes from 1, as they are thought of before anything is seen."""


@dataclass(frozen=True)
class Effects:
    """Effects of values and of pairs of them on what is expected of a row.

    Attributes:
        level: What all rows have in common, on the scale of the link.
        sizes: Number of values of each dimension.
        effects: Of single values and of pairs, in the order of :func:`_factors`.
        is_rate: Whether the link is the logit; there is none otherwise.
    """

    level: float
    sizes: Sequence[int]
    effects: Sequence[Array]
    is_rate: bool

    def predict(self, codes: Ints) -> Array:
        """Return what to expect of rows, shape (rows,).

        Args:
            codes: Number of each row's value in each dimension, shape (dimensions, rows).
        """
        scale = np.full(codes.shape[1], self.level)
        for (code, _), effect in zip(_factors(codes, self.sizes), self.effects, strict=True):
            if effect.any():
                scale += effect[code]
        return expit(scale) if self.is_rate else scale


def fit_effects(codes: Ints, sizes: Sequence[int], totals: Array, rows: Array, is_rate: bool) -> Effects:
    """Learn what to expect.

    Args:
        codes: Number of each cell's value in each dimension, shape (dimensions, cells).
        sizes: Number of values of each dimension.
        totals: Sum of the values of the rows of a cell, shape (cells,).
        rows: Number of them, shape (cells,).
        is_rate: Whether values are 0 and 1.
    """
    mean = float(totals.sum() / rows.sum())
    level = float(logit(np.array(mean), float(rows.sum()))) if is_rate else mean
    noise = 1.0 if is_rate else max(float(((totals - mean * rows) ** 2 / rows).mean()), _LEAST)
    scale = np.full(len(rows), level)
    factors = list(_factors(codes, sizes))
    effects = [np.zeros(size) for _, size in factors]
    for _ in range(_SWEEPS):
        for place, (code, size) in enumerate(factors):
            expected = expit(scale) if is_rate else scale
            weight = rows * expected * (1 - expected) if is_rate else rows / noise
            known = np.bincount(code, weight, size)
            found = np.bincount(code, (totals - rows * expected) / noise, size) + known * effects[place]
            variance = (found**2 - known).sum() / max(float((known**2).sum()), _LEAST)
            new = found / (known + 1 / variance) if variance > 0 else np.zeros(size)
            scale += (new - effects[place])[code]
            effects[place] = new
        move = _move(scale, totals, rows, is_rate)
        level, scale = level + move, scale + move
    return Effects(level, tuple(sizes), effects, is_rate)


def _move(scale: Array, totals: Array, rows: Array, is_rate: bool) -> float:
    """Return how far all rows have to move for their sum to be what was seen."""
    expected = expit(scale) if is_rate else scale
    weight = rows * expected * (1 - expected) if is_rate else rows
    return float((totals - rows * expected).sum() / max(float(weight.sum()), _LEAST))


def _factors(codes: Ints, sizes: Sequence[int]) -> Iterator[tuple[Ints, int]]:
    """Yield single dimensions and pairs of them: each row's value, and the number of values."""
    yield from zip(codes, sizes, strict=True)
    for one, other in combinations(range(len(sizes)), 2):
        yield codes[one] * sizes[other] + codes[other], sizes[one] * sizes[other]


def expit(scale: Array) -> Array:
    """Return the share that stands at a point of the logistic scale."""
    return np.asarray(1 / (1 + np.exp(-np.clip(scale, -30, 30))))


def logit(share: Array, rows: float) -> Array:
    """Return where a share stands on the logistic scale; 0 and 1 as far out as one of so many rows."""
    edge = 1 / (rows + 2)
    inside = np.clip(share, edge, 1 - edge)
    return np.asarray(np.log(inside / (1 - inside)))


def shifted(expected: Array, seen: Array, rows: Array) -> Array:
    """Move what is expected of rows, on the logistic scale, to where all of them together were seen.

    Level and slope are free, the slope pulled towards 1, so that a rise by equal points and one by equal factors both
    leave nothing behind. Two-parameter logistic regression by Newton's steps.

    Args:
        expected: Share that is expected of each cell, shape (cells,).
        seen: Number of rows for which the condition holds, shape (cells,).
        rows: Number of rows, shape (cells,).
    """
    scale = logit(expected, float(rows.sum()))
    middle = float((scale * rows).sum() / max(float(rows.sum()), _LEAST))
    design = np.stack([np.ones_like(scale), scale - middle])
    prior = np.diag([_LEAST, 1 / _SLOPE**2])
    start = np.array([middle, 1.0])
    found = start.copy()
    for _ in range(12):
        share = expit(found @ design)
        slope = design @ (seen - rows * share) - prior @ (found - start)
        curve = (design * (rows * share * (1 - share))) @ design.T + prior
        step = np.clip(np.linalg.solve(curve, slope), -2, 2)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return expit(found @ design)
