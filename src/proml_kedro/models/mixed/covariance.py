"""Covariance of a random effect over entities, estimated by empirical Bayes: no grid, no held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.effect_spec import RandomEffectSpec

FLOOR = 1e-6
"""Smallest variance, in squared units of the margin: practically no effect, and the matrix still has an inverse."""

CEILING = 100.0
"""Largest variance. Where an entity determines the label (separation) the likelihood has no maximum."""

_LARGEST_STEP = 1.5  # largest change of the logarithm of a variance in one update: a factor of 4.5
_LONGEST = 16.0  # largest factor by which a step is extrapolated, until such steps have proved too short
_LONGEST_EVER = 256.0
_HARDLY_SHORTER = 0.9  # share of a plain step that the next one still has after an extrapolated one
_LONGEST_EARLY, _EARLY = 3.0, 5  # the same in the first five updates, when coefficients are not yet near
_START_VARIANCE = 0.2  # of a random effect before it is estimated
_NEGLIGIBLE = 0.002  # the change of smaller variances is judged relative to this one


class Covariance:
    """Covariance S of one random effect, iterated to the maximum of the approximate marginal likelihood.

    At the maximum S = A + V, where A is the mean of u u' over the posterior means u, and V the mean posterior
    covariance (the EM equation of Dempster, Laird and Rubin, 1977). Iterating that equation itself converges slowly
    when V is close to S. MacKay's (1992) rearrangement A = S - V is iterated instead: in the basis where S is the
    identity, S <- (S - V)^(-1/2) A (S - V)^(-1/2). Steps are taken in the logarithm of S, which keeps it positive
    definite. Where two successive steps shrink by a steady factor the next one is extrapolated (Aitken, 1926).

    Args:
        start: Initial value, or the covariance itself when it is not estimated; shape (d, d).
        estimate: Whether :meth:`update` changes it.
        diagonal: Whether the coefficients of an entity are independent.
    """

    def __init__(self, start: Array, estimate: bool, diagonal: bool) -> None:
        self.value = np.array(start, np.float64)
        self._estimate = estimate
        self._diagonal = diagonal
        self._last, self._last_length = np.zeros_like(self.value), 1.0  # the last step before extrapolation
        self._longest = _LONGEST
        self._updates = 0
        self._change = math.inf

    @property
    def is_estimated(self) -> bool:
        """Whether :meth:`update` changes it."""
        return self._estimate

    @property
    def precision(self) -> Array:
        """Inverse of the covariance, shape (d, d)."""
        return np.asarray(np.linalg.inv(self.value))

    def state(self) -> dict[str, Any]:
        """Return all that the next :meth:`update` depends on, as plain values for a checkpoint."""
        return {
            "value": self.value.tolist(),
            "last": self._last.tolist(),
            "last_length": self._last_length,
            "longest": self._longest,
            "updates": self._updates,
            "change": self._change,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.value, self._last = np.array(state["value"]), np.array(state["last"])
        self._last_length, self._longest = state["last_length"], state["longest"]
        self._updates, self._change = state["updates"], state["change"]

    def update(self, moment: Array, uncertainty: Array) -> float:
        """Take one iteration.

        Args:
            moment: A, shape (d, d).
            uncertainty: V, shape (d, d).

        Returns:
            Largest change of an entry, a variance relative to itself and a covariance to both deviations. A plain step
            after an extrapolated one counts for as many as that one, and for no less than it: it is short, although
            convergence may be far.
        """
        if not self._estimate:
            return 0.0
        self._updates += 1
        before, counts = (self._change, self._last_length) if self._last_length > 1.0 else (0.0, 1.0)
        old = self.value
        step = _on_spectrum(_rearranged(old, moment, uncertainty, self._diagonal), _log) - _on_spectrum(old, _log)
        size = np.abs(np.linalg.eigvalsh(step)).max()
        step *= min(1.0, _LARGEST_STEP / max(size, FLOOR))
        length = self._lengthening(step)
        self._last, self._last_length = step, length
        new = _on_spectrum(_on_spectrum(old, _log) + length * step, _bounded_exp)
        self.value = (new + new.T) / 2
        scale = np.sqrt(np.maximum(np.diag(old), _NEGLIGIBLE))
        self._change = float((np.abs(new - old) / np.outer(scale, scale)).max())
        return max(counts * self._change, before)

    def _lengthening(self, step: Array) -> float:
        """Compute the step-length factor by Aitken extrapolation of the last two plain steps.

        It is 1 / (1 - ratio of their sizes), the limit of a geometric series of such steps.
        """
        along = float((step * self._last).sum())
        if self._last_length > 1.0:
            if along < 0:  # the extrapolated step went too far
                self._longest = max(1.0, self._longest / 2)
            elif along > _HARDLY_SHORTER * float((self._last**2).sum()):  # it hardly came nearer
                self._longest = min(2 * self._longest, _LONGEST_EVER)
            return 1.0
        size, last_size = float(np.linalg.norm(step)), float(np.linalg.norm(self._last))
        if along < 0.9 * size * last_size or size < 0.2 * last_size or last_size == 0:
            return 1.0
        most = _LONGEST_EARLY if self._updates <= _EARLY else self._longest
        longest = min(most, max(1.0, _LARGEST_STEP / size))
        return min(1.0 / (1.0 - size / last_size), longest) if size < last_size else longest


def _rearranged(covariance: Array, moment: Array, uncertainty: Array, diagonal: bool) -> Array:
    """Apply MacKay's rearrangement to S; shape (d, d)."""
    root, inverse = _on_spectrum(covariance, np.sqrt), _on_spectrum(covariance, lambda values: 1 / np.sqrt(values))
    explained = inverse @ (covariance - uncertainty) @ inverse
    # Where the data are not informative about a direction S - V is zero there, and rounding may make it negative.
    middle = _on_spectrum(explained, lambda values: 1 / np.sqrt(np.clip(values, 1e-3, None)))
    new = root @ middle @ inverse @ moment @ inverse @ middle @ root
    if diagonal:
        new = np.diag(np.diag(new))
    return np.asarray(new + FLOOR * np.eye(len(new)))


def _log(values: Array) -> Array:
    """Take logarithms of variances; collinear slopes may leave a negative one by rounding."""
    return np.asarray(np.log(np.maximum(values, FLOOR)))


def _bounded_exp(values: Array) -> Array:
    return np.asarray(np.exp(np.clip(values, np.log(FLOOR), np.log(CEILING))))


def _on_spectrum(matrix: Array, function: Callable[[Array], Array]) -> Array:
    """Apply a function to the eigenvalues of a symmetric matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray(vectors * function(values) @ vectors.T)


def first_covariance(effect: RandomEffectSpec, deviation: float) -> Covariance:
    """Make the initial covariance of a random effect that no earlier model has.

    Args:
        effect: The random effect.
        deviation: Unit in which margins are fitted.
    """
    given = _START_VARIANCE if effect.variance is None else np.asarray(effect.variance) / deviation**2
    variances = np.broadcast_to(given, len(effect.features))
    return Covariance(np.diag(variances), effect.variance is None, effect.covariance == "diagonal")
