"""What metrics will about be before labels are known: what calibrated probabilities expect of themselves.

Confidence-based performance estimation: each row is positive with its calibrated probability. It holds as long as the
score means what it did, so not when inputs are broken: with one that was constant it said an accuracy of .89 where .67
was true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEAST = 500
"""Labelled rows from which on scores are calibrated by them."""

_EDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """How often it happens, by score: increasing, linear between points.

    Attributes:
        score: Ascending.
        rate: Share of positive rows there.
        rows: Labelled rows that it was made from; 0 where scores are taken for what they say.
    """

    score: Array
    rate: Array
    rows: int

    @classmethod
    def of(cls, label: Array, score: Array) -> Self:
        """Fit labels by isotonic regression; scores as they are where there are fewer than 500 of them, or one class.

        Args:
            label: 0 or 1, shape (n,).
            score: Probabilities, shape (n,).
        """
        from scipy.optimize import isotonic_regression

        if len(label) < LEAST or label.min() == label.max():
            return cls(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0)
        values, place, rows = np.unique(score, return_inverse=True, return_counts=True)
        fitted: Any = isotonic_regression(np.bincount(place, label) / rows, weights=rows)
        return cls(values, np.asarray(fitted.x), len(label))

    def __call__(self, score: Array) -> Array:
        """Return probabilities for scores, shape (n,)."""
        return np.clip(np.interp(score, self.score, self.rate), _EDGE, 1 - _EDGE)


def estimate(score: Array, calibration: Calibration) -> Mapping[str, float]:
    """Estimate metrics of rows without labels.

    Args:
        score: Probabilities, shape (n,), n above 0.
        calibration: What they mean.

    Returns:
        ``auc``, ``logloss`` and ``brier`` that are expected.
    """
    chance = calibration(score)
    found: dict[str, Callable[[], float]] = {
        "auc": lambda: _auc(score, chance),
        "logloss": lambda: float(-np.mean(chance * _log(score) + (1 - chance) * _log(1 - score))),
        "brier": lambda: float(np.mean(chance * (1 - score) ** 2 + (1 - chance) * score**2)),
    }
    return {name: compute() for name, compute in found.items()}


def _log(values: Array) -> Array:
    return np.log(np.clip(values, 1e-15, 1.0))


def _auc(score: Array, chance: Array) -> float:
    """Expected won pairs over expected pairs, ties counting half. A row makes no pair with itself, however split."""
    from proml_kedro.formulas import auc_by_group

    order = np.argsort(score, kind="stable")
    chance = chance[order]
    pairs = chance.sum() * (1 - chance).sum()
    with_itself = float((chance * (1 - chance)).sum())
    area = float(auc_by_group(chance, 1 - chance, score[order], np.zeros(len(score), np.int64))[0])
    return float((area * pairs - 0.5 * with_itself) / (pairs - with_itself)) if pairs > with_itself else float("nan")
