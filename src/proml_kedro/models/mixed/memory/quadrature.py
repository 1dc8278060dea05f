"""Marginal likelihood of one scalar random effect by adaptive Gauss-Hermite quadrature.

With the effect of an entity written as sigma b, b ~ Normal(0, 1), the likelihood of the entity's rows is

    integral of prod_i p(y_i | x_i'beta + sigma z_i b) phi(b) db

whose integrand is evaluated at K nodes around its mode, as far apart as the curvature there says (Pinheiro and Bates,
1995). Its gradient in (beta, sigma) is the posterior mean of that of a row with covariates (x_i, z_i b) (Fisher's
identity), and its curvature the posterior mean of that of the rows less the posterior variance of the former (Louis,
1982), so that both come from the same nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from proml_kedro.models.mixed.losses import constant
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.passes import Floats
from proml_kedro.models.mixed.spec import Loss

_MOST_AT_ONCE = 8_000_000  # products of rows, nodes and columns that are held together: 64 MB an array
_MODE_STEPS = 100
_MODE_TOLERANCE = 1e-9
_LONGEST_STEP = 1.0  # of a margin, on the way to the mode: from afar a Newton step of a count leads too far
_LARGEST_EXPONENT = 80.0


@dataclass(frozen=True)
class MarginalLikelihood:
    """Log marginal likelihood at one (beta, sigma), its derivatives, and the posterior of the effects there.

    Attributes:
        value: The log likelihood.
        gradient: By beta and sigma, shape (p + 1,).
        information: Minus the second derivatives, shape (p + 1, p + 1).
        means: Posterior mean of each b, shape (entities,).
        variances: Posterior variance of the same.
        slopes: Derivative of each mean by beta, shape (entities, p).
    """

    value: float
    gradient: Floats
    information: Floats
    means: Floats
    variances: Floats
    slopes: Floats


class Quadrature:
    """Integral over the effects of all entities.

    Attributes:
        columns: Number p of fixed coefficients.

    Args:
        design: The data, with one random effect of one column.
        loss: ``logistic`` or ``poisson``.
        points: Number K of nodes.
    """

    def __init__(self, design: Design, loss: Loss, points: int) -> None:
        self._design, self._loss, self.columns = design, loss, design.width
        nodes, weights = np.polynomial.hermite_e.hermegauss(points)
        self._nodes, self._log_weights = nodes, np.log(weights) + nodes**2 / 2 - np.log(2 * np.pi) / 2
        self._modes = np.zeros(design.entities + 1)
        self._constant = constant(loss, design.label, design.weight, 1.0)

    def at(self, beta: Floats, sigma: float) -> MarginalLikelihood:
        """Evaluate the log likelihood; each search for the modes starts from those of the last one.

        Args:
            beta: Fixed coefficients, shape (p,).
            sigma: Deviation of the effect.
        """
        design, p = self._design, self.columns
        total, gradient, information = -self._constant, np.zeros(p + 1), np.zeros((p + 1, p + 1))
        moments = np.zeros((design.entities + 1, 2 + p))
        for first, last in self._parts():
            part = _Part(design, self._loss, first, last)
            margin = part.offset + part.x @ beta
            self._modes[first:last], curvature = part.modes(margin, sigma, self._modes[first:last])
            b = self._modes[first:last, None] + self._nodes / np.sqrt(curvature)[:, None]
            own = self._log_weights - np.log(curvature)[:, None] / 2 - b**2 / 2
            value, slope, curve = part.add(b, own, margin, sigma, moments[first:last])
            total, gradient, information = total + value, gradient + slope, information + curve
        kept = moments[: design.entities]
        return MarginalLikelihood(total, gradient, information, kept[:, 0], kept[:, 1], kept[:, 2:])

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Divide the entities so that the rows of each part fit in memory at all nodes; the last one has no effect."""
        starts, first, count = self._design.starts, 0, self._design.entities + 1
        most = max(_MOST_AT_ONCE // (len(self._nodes) * (self.columns + 4)), 1)
        while first < count:
            last = max(int(np.searchsorted(starts, starts[first] + most, "right")) - 1, first + 1)
            yield first, min(last, count)
            first = last


class _Part:
    """Rows of some entities, which follow one another."""

    def __init__(self, design: Design, loss: Loss, first: int, last: int) -> None:
        rows = slice(int(design.starts[first]), int(design.starts[last]))
        self._loss, self._entities = loss, last - first
        counts = np.diff(design.starts[first : last + 1])
        self._entity, self._filled = np.repeat(np.arange(last - first), counts), np.flatnonzero(counts)
        self._begins = np.concatenate([[0], np.cumsum(counts)[:-1]])[self._filled]
        self._z, self._label = design.z[rows, 0].astype(np.float64), design.label[rows].astype(np.float64)
        self._weight, self.offset = design.weight[rows].astype(np.float64), design.offset[rows].astype(np.float64)
        self.x = np.zeros((len(self._z), design.width))
        np.add.at(self.x, (np.arange(len(self.x))[:, None], design.index[rows]), design.value[rows])

    def _sums(self, values: Floats) -> Floats:
        """Add up the rows of each entity; shape (entities, …)."""
        found = np.zeros((self._entities, *values.shape[1:]))
        if len(self._begins):
            found[self._filled] = np.add.reduceat(values, self._begins, axis=0)
        return found

    def modes(self, margin: Floats, sigma: float, start: Floats) -> tuple[Floats, Floats]:
        """Find the mode of b of each entity by Newton's method, and the curvature there; shape (entities,) each."""
        b, z = start, sigma * self._z
        reach = self._sums(np.abs(z)[:, None]).ravel() / np.maximum(np.bincount(self._entity, minlength=len(b)), 1)
        longest = _LONGEST_STEP / np.maximum(reach, 1e-3)
        curvature = np.ones_like(b)
        for _ in range(_MODE_STEPS):
            _, residual, weight = self._likelihood(margin + z * b[self._entity])
            curvature = 1.0 + self._sums(weight * z * z)
            step = (self._sums(residual * z) - b) / curvature
            b = b + np.clip(step, -longest, longest)
            if np.abs(step).max(initial=0.0) < _MODE_TOLERANCE:
                break
        return b, curvature

    def add(
        self, b: Floats, own: Floats, margin: Floats, sigma: float, moments: Floats
    ) -> tuple[float, Floats, Floats]:
        """Integrate over the nodes b, shape (entities, K), whose weights and priors have the logarithms ``own``.

        Posterior means and variances of b, and slopes of the means, are written to ``moments``.

        Returns:
            Log likelihood, gradient and information.
        """
        z, p = self._z[:, None], self.x.shape[1]
        by_row = b[self._entity]
        log, residual, weight = self._likelihood(margin[:, None] + sigma * z * by_row)
        joint = own + self._sums(log)
        largest = joint.max(1, keepdims=True)
        share = np.exp(joint - largest)
        total = share.sum(1, keepdims=True)
        share /= total
        gradients = np.stack([self._gradient(residual[:, k], by_row[:, k]) for k in range(b.shape[1])], 1)
        mean = np.einsum("ek,ekp->ep", share, gradients)
        apart = gradients - mean[:, None]
        means = (share * b).sum(1)
        moments[:, 0], moments[:, 1] = means, (share * (b - means[:, None]) ** 2).sum(1)
        moments[:, 2:] = np.einsum("ek,ekp->ep", share * (b - means[:, None]), apart[:, :, :p])
        information = -np.einsum("ek,ekp,ekq->pq", share, apart, apart, optimize=True)
        expected = share[self._entity] * weight
        one, two = (expected * z * by_row).sum(1), (expected * (z * by_row) ** 2).sum(1)
        information[:p, :p] += self.x.T @ (self.x * expected.sum(1)[:, None])
        information[:p, p] += self.x.T @ one
        information[p, :p] += self.x.T @ one
        information[p, p] += two.sum()
        return float((np.log(total) + largest).sum()), mean.sum(0), information

    def _gradient(self, residual: Floats, b: Floats) -> Floats:
        """Compute the gradient of each entity's rows at one node by beta and sigma, shape (entities, p + 1)."""
        return self._sums(np.column_stack([self.x, self._z * b]) * residual[:, None])

    def _likelihood(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Compute log likelihood, first and minus second derivative in the margin, times the weights; as ``eta``."""
        label, weight = (one.reshape(-1, *[1] * (eta.ndim - 1)) for one in (self._label, self._weight))
        if self._loss == "poisson":
            mean = np.exp(np.minimum(eta, _LARGEST_EXPONENT))
            return weight * (label * eta - mean), weight * (label - mean), weight * mean
        tail = np.exp(-np.abs(eta))
        p = np.where(eta > 0, 1.0, tail) / (1.0 + tail)
        log = label * eta - np.maximum(eta, 0.0) - np.log1p(tail)
        return weight * log, weight * (label - p), weight * p * (1.0 - p)
