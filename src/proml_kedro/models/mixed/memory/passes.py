"""The kernels over all rows: each thread has a share of the entities and its own sums, added up in a fixed order."""

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
from proml_kedro.models.mixed.memory.design import Rows
from proml_kedro.models.mixed.memory.interactions import in_threads
from proml_kedro.models.mixed.memory.kernels import dense as dense_kernels
from proml_kedro.models.mixed.memory.kernels import rows as row_kernels
from proml_kedro.models.mixed.spec import Loss

T = TypeVar("T")

Floats = npt.NDArray[np.float64]


@dataclass
class Linearisation:
    """The log likelihood around one set of coefficients.

    Attributes:
        eta: Margins, shape (n,).
        residual: Shape (n,).
        weight: Shape (n,).
        gradient: Of the log likelihood by the eliminated effect, shape (entities + 1, d).
        information: Its curvature, shape (entities + 1, d, d).
    """

    eta: Floats
    residual: Floats
    weight: Floats
    gradient: Floats
    information: Floats


class Passes:
    """Runs the kernels on ``rows``.

    Attributes:
        rows: The data.
        loss: What is minimised.
        scale: What it is multiplied by: 1, for the linear loss 1 / dispersion.
        offset: What is added to every margin, shape (n,): the rows' own, and interactions.
        count: Passes so far.

    Args:
        rows: The data.
        loss: What is minimised.
        threads: How many share the work.
        pool: Where they run.
    """

    def __init__(self, rows: Rows, loss: Loss, threads: int, pool: ThreadPoolExecutor) -> None:
        self.rows = rows
        self.loss = loss
        self.scale = 1.0
        self.offset: Array = rows.offset
        self.count = 0
        wanted = np.linspace(0, len(rows), threads + 1)
        cuts = np.searchsorted(rows.starts, wanted)
        cuts[0], cuts[-1] = 0, rows.entities + 1
        self._shares = [(int(a), int(b)) for a, b in pairwise(cuts) if b > a]
        self._pool, self._threads = pool, threads
        self._scratch = np.empty(len(rows))

    def like(self, rows: Rows, loss: Loss) -> Passes:
        """The same for rows that differ in their labels and weights only."""
        return Passes(rows, loss, self._threads, self._pool)

    def sweep_interactions(self, eta: Floats, spread: Floats) -> tuple[float, Floats]:
        """Update every interaction once, and the offset by them.

        Args:
            eta: Margins, shape (n,).
            spread: Variances of the margins without interactions, shape (n,).

        Returns:
            The largest change of an interaction, and the variances with interactions.
        """
        rows, run = self.rows, in_threads(self._pool, self._threads)
        eta, spread = eta.copy(), spread + sum(one.variance for one in rows.interactions)
        for one in rows.interactions:
            eta -= one.mean
            spread = np.maximum(spread - one.variance, 0.0)
            one.sweep(eta, spread, rows.label, rows.weight, self.loss, self.scale, run)
            eta += one.mean
            spread += one.variance
            self.count += len(one.fields) + 1
        self.add_interactions()
        return max(one.change for one in rows.interactions), spread

    def add_interactions(self) -> None:
        """Have in the offset what the interactions are now."""
        interactions = [one.mean for one in self.rows.interactions]
        self.offset = (self.rows.offset + np.sum(interactions, axis=0)).astype(np.float32)

    def _run(self, work: Callable[[int, int], T]) -> list[T]:
        self.count += 1
        if len(self._shares) == 1:
            return [work(*self._shares[0])]
        return list(self._pool.map(lambda share: work(*share), self._shares))

    def linearise(self, kappa: Floats, u: Floats, x: Floats) -> Linearisation:
        """See :func:`.kernels.linearise`."""
        rows, d = self.rows, self.rows.z.shape[1]
        eta, residual, weight = (np.empty(len(rows)) for _ in range(3))
        gradient, information = np.zeros((rows.entities + 1, d)), np.zeros((rows.entities + 1, d, d))

        def work(first: int, last: int) -> None:
            data = (rows.starts, rows.z, rows.index, rows.value, self.offset, rows.label, rows.weight)
            at = (CODES[self.loss], self.scale, kappa, u, x)
            row_kernels.linearise(first, last, *data, *at, eta, residual, weight, gradient, information)

        self._run(work)
        return Linearisation(eta, residual, weight, gradient, information)

    def loss_at(self, u: Floats, x: Floats) -> float:
        """The negative log likelihood at these coefficients, without its constant, times ``scale``."""
        rows = self.rows
        eta = self.linearise(np.ones(len(rows)), u, x).eta

        def work(first: int, last: int) -> float:
            part = rows.starts[first], rows.starts[last]
            return float(row_kernels.negative_log_likelihood(*part, eta, rows.label, rows.weight, CODES[self.loss]))

        return self.scale * sum(self._run(work))

    def eliminate(self, at: Linearisation, inverse: Floats, step: Floats) -> tuple[Floats, Floats]:
        """The gradient of the rest, shape (width,), and its blocks, shape (width, largest dimension of a group).

        Blocks of dense groups are left at zero: these are solved for all together.
        """
        rows = self.rows
        widest = max([group.dimension for group in rows.groups], default=1)
        bounds = rows.bounds[rows.dense_groups :]

        def work(first: int, last: int) -> tuple[Floats, Floats]:
            sums = np.zeros(rows.width), np.zeros((rows.width, widest))
            data = (rows.starts, rows.z, rows.index, rows.value, bounds, at.residual, at.weight)
            row_kernels.eliminate(first, last, *data, inverse, step, *sums)
            return sums

        gradients, blocks = zip(*self._run(work), strict=True)
        return _total(gradients), _total(blocks)

    def dense_information(self, at: Linearisation, inverse: Floats) -> Floats:
        """The Schur complement of the first ``rows.dense`` columns, without priors; shape (dense, dense)."""
        rows = self.rows

        def work(first: int, last: int) -> Floats:
            total = np.zeros((rows.dense, rows.dense))
            sparse = (rows.index, rows.value, rows.dense_entries, at.weight)
            dense_kernels.add_outer_products(first, last, rows.starts, *sparse, total)
            dense_kernels.subtract_eliminated(first, last, rows.starts, rows.z, *sparse, inverse, total)
            return total

        half = _total(self._run(work))
        return np.asarray(half + half.T - np.diag(np.diag(half)))

    def add_uncertainty_of_rest(self, at: Linearisation, inverse: Floats, dense: Floats) -> Floats:
        """See :func:`.dense_kernels.add_uncertainty_of_rest`; shape (entities + 1, d, d)."""
        rows = self.rows
        covariance = np.empty_like(inverse)

        def work(first: int, last: int) -> None:
            data = (rows.starts, rows.z, rows.index, rows.value, rows.dense_entries, at.weight)
            dense_kernels.add_uncertainty_of_rest(first, last, *data, inverse, dense, covariance)

        self._run(work)
        return covariance

    def margin_variance(self, at: Linearisation, inverse: Floats, dense: Floats, covariance: Floats) -> Floats:
        """See :func:`.dense_kernels.margin_variance`; shape (n,)."""
        rows = self.rows
        variance = np.empty(len(rows))

        def work(first: int, last: int) -> None:
            data = (rows.starts, rows.z, rows.index, rows.value, rows.dense_entries, at.weight)
            dense_kernels.margin_variance(first, last, *data, inverse, dense, covariance, variance)

        self._run(work)
        return variance

    def sums_by_column(self, residual: Floats) -> Floats:
        """The sum of a_i r_i, shape (width,)."""
        nothing = np.zeros((self.rows.entities + 1, self.rows.z.shape[1]))
        at = Linearisation(residual, residual, np.zeros(len(residual)), nothing, nothing)
        return self.eliminate(at, np.zeros((*nothing.shape, nothing.shape[1])), nothing)[0]

    def schur_product(self, at: Linearisation, inverse: Floats, x: Floats) -> Floats:
        """Shape (width,)."""
        rows = self.rows

        def work(first: int, last: int) -> Floats:
            total = np.zeros(rows.width)
            data = (rows.starts, rows.z, rows.index, rows.value, at.weight)
            row_kernels.schur_product(first, last, *data, inverse, x, self._scratch, total)
            return total

        return _total(self._run(work))

    def substitute(self, at: Linearisation, inverse: Floats, gradient: Floats, x: Floats) -> tuple[Floats, Floats]:
        """The step of the eliminated effect, shape (entities + 1, d), and the change of each margin, shape (n,)."""
        rows = self.rows
        step, direction = np.empty_like(gradient), np.empty(len(rows))

        def work(first: int, last: int) -> None:
            data = (rows.starts, rows.z, rows.index, rows.value, at.weight)
            row_kernels.substitute(first, last, *data, inverse, gradient, x, step, direction)

        self._run(work)
        return step, direction

    def slope_along(self, eta: Floats, direction: Floats, length: float, kappa: Floats) -> float:
        """How the loss rises a way along a direction, by the length."""
        rows = self.rows

        def work(first: int, last: int) -> float:
            part = rows.starts[first], rows.starts[last]
            data = (kappa, rows.label, rows.weight, CODES[self.loss], self.scale)
            return float(row_kernels.slope_along(*part, eta, direction, length, *data))

        return sum(self._run(work))

    def row_variance(self, inverse: Floats, variances: Floats) -> Floats:
        """Shape (n,)."""
        rows = self.rows
        variance = np.empty(len(rows))
        bounds = rows.bounds[sum(group.effect is None for group in rows.groups) :]  # these come first, and have none

        def work(first: int, last: int) -> None:
            data = (rows.starts, rows.z, rows.index, rows.value, bounds)
            row_kernels.row_variance(first, last, *data, inverse, variances, variance)

        self._run(work)
        return variance


@contextmanager
def passes_over(rows: Rows, loss: Loss, threads: int) -> Iterator[Passes]:
    """The passes, with threads that live as long as the block."""
    with ThreadPoolExecutor(threads) as pool:
        yield Passes(rows, loss, threads, pool)


def _total(parts: Sequence[Any]) -> Array:
    return np.asarray(sum(parts[1:], parts[0]))
