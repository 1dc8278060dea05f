"""Posterior of entities after new rows: that of the rows before is the prior of each (Lambda learner).

As in *Lambda Learner: Fast Incremental Learning on Data Streams* (Ramanath et al., KDD 2021) what is left of earlier
rows is the mean and the covariance of each entity. The entities of all effects that have new rows are estimated
together by Newton's method; entities that earlier rows have in common are taken as independent in the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array
from proml_kedro.models.mixed.conjugate_gradients import conjugate_gradients
from proml_kedro.models.mixed.losses import averaged_margin, averaging
from proml_kedro.models.mixed.spec import Loss

Floats = npt.NDArray[np.float64]

_MOST_STEPS = 50
_TOLERANCE = 1e-6  # of a margin
_ACCURACY = 1e-6
_LARGEST_EXPONENT = 80.0


@dataclass(frozen=True)
class NewRows:
    """Rows to learn from.

    Attributes:
        loss: Loss of the model.
        label: Shape (n,).
        weight: Shape (n,), positive, divided by the dispersion.
        offset: What is not estimated of each margin, shape (n,).
        variance: Its posterior variance, shape (n,).
        averaged: Whether the likelihood is averaged over the posterior.
    """

    loss: Loss
    label: Floats
    weight: Floats
    offset: Floats
    variance: Floats
    averaged: bool

    def derivatives(self, eta: Floats, spread: Floats) -> tuple[Floats, Floats]:
        """Compute first and minus second derivative of each row's log likelihood in its margin; shape (n,) each.

        Args:
            eta: Margins, shape (n,).
            spread: Their posterior variances, shape (n,).
        """
        k = averaging(self.loss, spread) if self.averaged else np.ones(len(eta))
        if self.loss == "linear":
            return self.weight * (self.label - eta), self.weight
        if self.loss == "poisson":
            mean = k * np.exp(np.minimum(eta, _LARGEST_EXPONENT))
            return self.weight * (self.label - mean), self.weight * mean
        margin, slope = averaged_margin(eta, k)
        p = sigmoid(margin)
        return self.weight * (self.label - p), self.weight * slope * p * (1 - p)


@dataclass
class Block:
    """Entities of one effect that have new rows.

    Attributes:
        codes: Entity of each row among them, -1 for none, shape (n,).
        z: Slopes, shape (n, d), zero where a row has no entity.
        mean: Prior mean of each entity, then the posterior one; shape (entities, d).
        precision: Prior precision, shape (entities, d, d).
    """

    codes: Array
    z: Floats
    mean: Floats
    precision: Floats

    def __post_init__(self) -> None:
        from scipy.sparse import csr_array

        rows, d = self.z.shape
        columns = np.maximum(self.codes, 0)[:, None] * d + np.arange(d)
        shape = rows, self.mean.size
        self._prior, self._start = self.mean.copy(), np.arange(rows + 1) * d
        self._matrix = csr_array((self.z.ravel(), columns.ravel(), self._start), shape=shape)
        squares = self.z[:, :, None] * self.z[:, None, :]
        within = np.maximum(self.codes, 0)[:, None] * d * d + np.arange(d * d)
        pairs = csr_array((squares.ravel(), within.ravel(), np.arange(rows + 1) * d * d), shape=(rows, shape[1] * d))
        self._squares, self._back = pairs.T.tocsr(), self._matrix.T.tocsr()

    def times(self, change: Floats) -> Floats:
        """Compute what a change of the coefficients adds to each margin, shape (n,)."""
        return np.asarray(self._matrix @ change)

    def sums(self, values: Floats) -> Floats:
        """Sum z times a value, or values, over the rows of each entity; shape (entities * d, …)."""
        return np.asarray(self._back @ values)

    def prior_gradient(self) -> Floats:
        """Compute the precision times the distance to the prior mean, shape (entities * d,)."""
        return _times_blocks(self.precision, (self.mean - self._prior).ravel())

    def prior_times(self, change: Floats) -> Floats:
        """Multiply the prior precision by a change, shape (entities * d,)."""
        return _times_blocks(self.precision, change)

    def covariances(self, curvature: Floats, precision: Floats | None = None) -> Floats:
        """Compute each entity's posterior covariance given all else, shape (entities, d, d).

        Args:
            curvature: Minus second derivative of each row, shape (n,).
            precision: Prior precision; :attr:`precision` when None.
        """
        prior = self.precision if precision is None else precision
        return np.asarray(np.linalg.inv(prior + (self._squares @ curvature).reshape(prior.shape)))

    def spread(self, covariances: Floats) -> Floats:
        """Compute the variance that the effect adds to each margin, shape (n,)."""
        return np.asarray(np.einsum("na,nab,nb->n", self.z, covariances[np.maximum(self.codes, 0)], self.z))


class Posterior:
    """Newton's method for all blocks together.

    Attributes:
        eta: Margins at the current means, shape (n,).
        steps: Number of steps taken.
        curvature: Minus second derivative of each row, shape (n,).
        residual: First derivative, shape (n,).

    Args:
        rows: The rows.
        blocks: Effects with entities in these rows; their means are moved.
    """

    def __init__(self, rows: NewRows, blocks: Sequence[Block]) -> None:
        self._rows, self._blocks = rows, blocks
        self._bounds = np.cumsum([0, *(one.mean.size for one in blocks)])
        self.eta = rows.offset + sum(one.times(one.mean.ravel()) for one in blocks)
        self.steps, self._spread = 0, np.zeros(len(rows.label))
        self.residual = self.curvature = self._spread
        self._linearise()

    def find(self) -> None:
        """Move to the maximum of the posterior."""
        for _ in range(_MOST_STEPS):
            gradient = np.concatenate([one.sums(self.residual) - one.prior_gradient() for one in self._blocks])
            change = self.solve(gradient)
            moved = self._times(change)
            length = self._length(change, moved, float(gradient @ change))
            for one, part in zip(self._blocks, self.parts(length * change), strict=True):
                one.mean = one.mean + part.reshape(one.mean.shape)
            self.eta = self.eta + length * moved
            self.steps += 1
            self._linearise()
            if np.abs(moved).max(initial=0.0) < _TOLERANCE:
                break

    def solve(self, right: Floats) -> Floats:
        """Solve for a right side with the curvature of all coefficients, shape (coefficients,)."""
        inverses = [one.covariances(self.curvature) for one in self._blocks]

        def product(x: Floats) -> Floats:
            values = self.curvature * self._times(x)
            parts = zip(self._blocks, self.parts(x), strict=True)
            return np.concatenate([one.sums(values) + one.prior_times(part) for one, part in parts])

        def precondition(x: Floats) -> Floats:
            parts = zip(inverses, self.parts(x), strict=True)
            return np.concatenate([_times_blocks(inverse, part) for inverse, part in parts])

        return conjugate_gradients(product, precondition, right, _ACCURACY)[0]

    def sums(self, values: Floats) -> Floats:
        """Sum the slopes of all blocks times values over rows, shape (coefficients, …)."""
        return np.concatenate([one.sums(values) for one in self._blocks])

    def parts(self, x: Floats) -> list[Floats]:
        """Divide coefficients by block."""
        return [x[a:b] for a, b in zip(self._bounds[:-1], self._bounds[1:], strict=True)]

    def _times(self, x: Floats) -> Floats:
        return np.asarray(sum(one.times(part) for one, part in zip(self._blocks, self.parts(x), strict=True)))

    def _linearise(self) -> None:
        """Set derivatives at the current means; the spread follows the curvature of the last time."""
        if self._rows.averaged:
            spreads = (one.spread(one.covariances(self.curvature)) for one in self._blocks)
            self._spread = self._rows.variance + sum(spreads)
        self.residual, self.curvature = self._rows.derivatives(self.eta, self._spread)

    def _length(self, change: Floats, moved: Floats, descent: float) -> float:
        """Halve the step until the objective's slope at its end is at most half of the descent at its beginning."""
        parts = zip(self._blocks, self.parts(change), strict=True)
        priors = [(one.prior_gradient() @ part, one.prior_times(part) @ part) for one, part in parts]
        cross, square = np.sum(priors, axis=0)
        length = 1.0
        while length > 1e-9:
            residual, _ = self._rows.derivatives(self.eta + length * moved, self._spread)
            if cross + length * square - residual @ moved <= descent / 2 + 1e-9 * abs(descent):
                break
            length /= 2
        return length


def _times_blocks(blocks: Floats, x: Floats) -> Floats:
    """Multiply a block diagonal matrix, blocks of shape (entities, d, d), by x of shape (entities * d,)."""
    return np.asarray(np.einsum("eab,eb->ea", blocks, x.reshape(blocks.shape[:2])).ravel())
