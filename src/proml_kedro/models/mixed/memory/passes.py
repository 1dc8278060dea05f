"""Passes over all rows with the compiled kernels.

Each thread has a share of the entities and its own sums, which are added up in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import CODES
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.interactions import in_threads
from proml_kedro.models.mixed.memory.kernels import dense as dense_kernels
from proml_kedro.models.mixed.memory.kernels import rows as row_kernels
from proml_kedro.models.mixed.spec import Loss

T = TypeVar("T")

Floats = npt.NDArray[np.float64]


@dataclass
class Linearisation:
    """Quadratic approximation of the log likelihood around one set of coefficients.

    Attributes:
        eta: Margins, shape (n,).
        residual: First derivative of each row's log likelihood in its margin, shape (n,).
        weight: Minus the second derivative, shape (n,).
        gradient: Gradient of the log likelihood by the eliminated effect, shape (entities + 1, d).
        information: Curvature of the same, shape (entities + 1, d, d).
    """

    eta: Floats
    residual: Floats
    weight: Floats
    gradient: Floats
    information: Floats


class Passes:
    """Runner of the kernels over a design.

    Attributes:
        design: The data.
        loss: Loss that is minimised.
        scale: Factor of the loss: 1, or 1 / dispersion with ``linear``.
        offset: Added to every margin, shape (n,): the offset of the data, and the interactions.
        count: Number of passes so far.

    Args:
        design: The data.
        loss: Loss that is minimised.
        threads: Number of threads.
        pool: Pool in which they run.
    """

    def __init__(self, design: Design, loss: Loss, threads: int, pool: ThreadPoolExecutor) -> None:
        self.design = design
        self.loss = loss
        self.scale = 1.0
        self.offset: Array = design.offset
        self.count = 0
        wanted = np.linspace(0, len(design), threads + 1)
        cuts = np.searchsorted(design.starts, wanted)
        cuts[0], cuts[-1] = 0, design.entities + 1
        self._shares = [(int(a), int(b)) for a, b in pairwise(cuts) if b > a]
        self._pool, self._threads = pool, threads
        self._scratch = np.empty(len(design))

    def like(self, design: Design, loss: Loss) -> Passes:
        """Make passes over a design that differs in its labels and weights only."""
        return Passes(design, loss, self._threads, self._pool)

    def sweep_interactions(self, eta: Floats, spread: Floats) -> tuple[float, Floats]:
        """Update every interaction once, and add them to the offset.

        Args:
            eta: Margins, shape (n,).
            spread: Variances of the margins without interactions, shape (n,). Those with interactions are returned,
                after the largest change of an interaction.
        """
        design, run = self.design, in_threads(self._pool, self._threads)
        eta, spread = eta.copy(), spread + sum(one.variance for one in design.interactions)
        for one in design.interactions:
            eta -= one.mean
            spread = np.maximum(spread - one.variance, 0.0)
            one.sweep(eta, spread, design.label, design.weight, self.loss, self.scale, run)
            eta += one.mean
            spread += one.variance
            self.count += len(one.fields) + 1
        self.add_interactions()
        return max(one.change for one in design.interactions), spread

    def add_interactions(self) -> None:
        """Set the offset to that of the data plus the current interactions."""
        interactions = [one.mean for one in self.design.interactions]
        self.offset = (self.design.offset + np.sum(interactions, axis=0)).astype(np.float32)

    def _run(self, work: Callable[[int, int], T]) -> list[T]:
        self.count += 1
        if len(self._shares) == 1:
            return [work(*self._shares[0])]
        return list(self._pool.map(lambda share: work(*share), self._shares))

    def linearise(self, kappa: Floats, u: Floats, x: Floats) -> Linearisation:
        """Approximate the log likelihood around coefficients; see :func:`.kernels.rows.linearise`.

        Args:
            kappa: Factor of averaging of each row, shape (n,); see :func:`.losses.averaging`.
            u: Coefficients of the eliminated effect, shape (entities + 1, d).
            x: All others, shape (width,).
        """
        design, d = self.design, self.design.z.shape[1]
        eta, residual, weight = (np.empty(len(design)) for _ in range(3))
        gradient, information = np.zeros((design.entities + 1, d)), np.zeros((design.entities + 1, d, d))

        def work(first: int, last: int) -> None:
            data = (design.starts, design.z, design.index, design.value, self.offset, design.label, design.weight)
            at = (CODES[self.loss], self.scale, kappa, u, x)
            row_kernels.linearise(first, last, *data, *at, eta, residual, weight, gradient, information)

        self._run(work)
        return Linearisation(eta, residual, weight, gradient, information)

    def loss_at(self, u: Floats, x: Floats) -> float:
        """Compute the negative log likelihood at coefficients, without its constant, times ``scale``."""
        design = self.design
        eta = self.linearise(np.ones(len(design)), u, x).eta

        def work(first: int, last: int) -> float:
            part = design.starts[first], design.starts[last]
            return float(row_kernels.negative_log_likelihood(*part, eta, design.label, design.weight, CODES[self.loss]))

        return self.scale * sum(self._run(work))

    def eliminate(self, at: Linearisation, inverse: Floats, step: Floats) -> tuple[Floats, Floats]:
        """Eliminate the largest effect from the gradient.

        Args:
            at: Likelihood around the current coefficients.
            inverse: Posterior covariance of each entity given all else, shape (entities + 1, d, d).
            step: Step of each entity given all else, shape (entities + 1, d).

        Returns:
            Gradient of the others, shape (width,), and curvature within each level, shape (width, largest dimension),
            zero for dense groups.
        """
        design = self.design
        widest = max([group.dimension for group in design.groups], default=1)
        bounds = design.bounds[design.dense_groups :]

        def work(first: int, last: int) -> tuple[Floats, Floats]:
            sums = np.zeros(design.width), np.zeros((design.width, widest))
            data = (design.starts, design.z, design.index, design.value, bounds, at.residual, at.weight)
            row_kernels.eliminate(first, last, *data, inverse, step, *sums)
            return sums

        gradients, blocks = zip(*self._run(work), strict=True)
        return _total(gradients), _total(blocks)

    def dense_information(self, at: Linearisation, inverse: Floats) -> Floats:
        """Compute the Schur complement of the dense columns, without priors; shape (dense, dense)."""
        design = self.design

        def work(first: int, last: int) -> Floats:
            total = np.zeros((design.dense, design.dense))
            sparse = (design.index, design.value, design.dense_entries, at.weight)
            dense_kernels.add_outer_products(first, last, design.starts, *sparse, total)
            dense_kernels.subtract_eliminated(first, last, design.starts, design.z, *sparse, inverse, total)
            return total

        half = _total(self._run(work))
        return np.asarray(half + half.T - np.diag(np.diag(half)))

    def add_uncertainty_of_rest(self, at: Linearisation, inverse: Floats, dense: Floats) -> Floats:
        """Compute each entity's posterior covariance, uncertainty of the dense columns included.

        Args:
            at: Likelihood around the current coefficients.
            inverse: Posterior covariance of each entity given all else, shape (entities + 1, d, d).
            dense: Posterior covariance of the dense columns, shape (dense, dense).

        Returns:
            Shape (entities + 1, d, d); see :func:`.kernels.dense.add_uncertainty_of_rest`.
        """
        design = self.design
        covariance = np.empty_like(inverse)

        def work(first: int, last: int) -> None:
            data = (design.starts, design.z, design.index, design.value, design.dense_entries, at.weight)
            dense_kernels.add_uncertainty_of_rest(first, last, *data, inverse, dense, covariance)

        self._run(work)
        return covariance

    def margin_variance(self, at: Linearisation, inverse: Floats, dense: Floats, covariance: Floats) -> Floats:
        """Compute the posterior variance of each margin, shape (n,); see :func:`.kernels.dense.margin_variance`."""
        design = self.design
        variance = np.empty(len(design))

        def work(first: int, last: int) -> None:
            data = (design.starts, design.z, design.index, design.value, design.dense_entries, at.weight)
            dense_kernels.margin_variance(first, last, *data, inverse, dense, covariance, variance)

        self._run(work)
        return variance

    def sums_by_column(self, residual: Floats) -> Floats:
        """Compute A'r, the sum of a_i r_i over rows; shape (width,)."""
        nothing = np.zeros((self.design.entities + 1, self.design.z.shape[1]))
        at = Linearisation(residual, residual, np.zeros(len(residual)), nothing, nothing)
        return self.eliminate(at, np.zeros((*nothing.shape, nothing.shape[1])), nothing)[0]

    def schur_product(self, at: Linearisation, inverse: Floats, x: Floats) -> Floats:
        """Multiply x by the Schur complement, without priors; shape (width,)."""
        design = self.design

        def work(first: int, last: int) -> Floats:
            total = np.zeros(design.width)
            data = (design.starts, design.z, design.index, design.value, at.weight)
            row_kernels.schur_product(first, last, *data, inverse, x, self._scratch, total)
            return total

        return _total(self._run(work))

    def substitute(self, at: Linearisation, inverse: Floats, gradient: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Substitute the step x of the other coefficients, shape (width,), back; the arguments are as above.

        Returns:
            Step of the eliminated effect, shape (entities + 1, d), and change of each margin, shape (n,).
        """
        design = self.design
        step, direction = np.empty_like(gradient), np.empty(len(design))

        def work(first: int, last: int) -> None:
            data = (design.starts, design.z, design.index, design.value, at.weight)
            row_kernels.substitute(first, last, *data, inverse, gradient, x, step, direction)

        self._run(work)
        return step, direction

    def slope_along(self, eta: Floats, direction: Floats, length: float, kappa: Floats) -> float:
        """Compute the derivative of the loss by ``length``, at a length along a direction of the margins."""
        design = self.design

        def work(first: int, last: int) -> float:
            part = design.starts[first], design.starts[last]
            data = (kappa, design.label, design.weight, CODES[self.loss], self.scale)
            return float(row_kernels.slope_along(*part, eta, direction, length, *data))

        return sum(self._run(work))

    def row_variance(self, inverse: Floats, variances: Floats) -> Floats:
        """Compute the posterior variance of each margin, effects taken as independent; shape (n,).

        Args:
            inverse: Posterior covariance of each entity of the eliminated effect, shape (entities + 1, d, d).
            variances: Posterior covariance of each level of the others, shape (width, largest dimension).
        """
        design = self.design
        variance = np.empty(len(design))
        bounds = design.bounds[
            sum(group.effect is None for group in design.groups) :
        ]  # categories come first, and have no posterior

        def work(first: int, last: int) -> None:
            data = (design.starts, design.z, design.index, design.value, bounds)
            row_kernels.row_variance(first, last, *data, inverse, variances, variance)

        self._run(work)
        return variance


@contextmanager
def passes_over(design: Design, loss: Loss, threads: int) -> Iterator[Passes]:
    """Make passes whose threads live as long as the block."""
    with ThreadPoolExecutor(threads) as pool:
        yield Passes(design, loss, threads, pool)


def _total(parts: Sequence[Any]) -> Array:
    return np.asarray(sum(parts[1:], parts[0]))
