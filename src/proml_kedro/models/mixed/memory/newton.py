"""One step of Newton's method for all coefficients together.

The curvature of the penalised likelihood is [[H_u, C], [C', H_x]]: u are the coefficients of the largest random
effect, x all others. H_u is block diagonal, one d x d block an entity, so u is eliminated exactly, and what is left,
(H_x - C' H_u^-1 C) x = g_x - C' H_u^-1 g_u, is solved by conjugate gradients. One product with that matrix is one
pass over the rows, and the matrix is never built. Fitting one effect after the other instead (block coordinate
descent, as in Zhang et al., KDD 2016) needs many more passes, because crossed effects explain the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.design import Group, Rows
from proml_kedro.models.mixed.memory.elastic_net import sparse_step
from proml_kedro.models.mixed.memory.laplace import Before, Skew, skew
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes

_MOST_ITERATIONS = 200  # of conjugate gradients; the preconditioner leaves far fewer


@dataclass
class Coefficients:
    """All coefficients.

    Attributes:
        u: Of the eliminated effect, shape (entities + 1, d); the last row stays zero.
        x: All others, shape (width,).
    """

    u: Floats
    x: Floats

    def moved(self, step: Coefficients, length: float) -> Coefficients:
        """These coefficients and ``length`` times the step."""
        return Coefficients(self.u + length * step.u, self.x + length * step.x)


@dataclass(frozen=True)
class Prior:
    """Normal priors of mean zero.

    Attributes:
        penalty: Precision of each of the fixed numbers, shape (fixed,).
        category_penalty: Precision of the levels of categorical fixed effects.
        precisions: Of the random effects, (d, d) each.
        l1: Rate of the Laplace prior that the fixed effects have besides; the intercept has none.
    """

    penalty: Array
    category_penalty: float
    precisions: Sequence[Array]
    l1: float = 0.0

    def rates(self, rows: Rows) -> Array:
        """The rate of every column, 0 for random effects and the intercept; shape (width,)."""
        rates = np.zeros(rows.width)
        rates[1 : rows.fixed] = self.l1
        for group in rows.groups:
            if group.effect is None:
                rates[group.columns] = self.l1
        return rates

    def of_group(self, group: Group) -> Array:
        """The precision of one level of a group."""
        return np.array([[self.category_penalty]]) if group.effect is None else self.precisions[group.effect]

    def of_dense(self, rows: Rows) -> Array:
        """The precision of the dense columns, shape (dense, dense)."""
        matrix = np.zeros((rows.dense, rows.dense))
        matrix[: rows.fixed, : rows.fixed] = np.diag(self.penalty)
        for group in rows.groups[: rows.dense_groups]:
            matrix[group.columns, group.columns] = np.kron(np.eye(group.levels), self.of_group(group))
        return matrix

    def on_rest(self, rows: Rows, x: Floats) -> Floats:
        """The precision matrix of all but the eliminated effect times x."""
        product = np.empty_like(x)
        product[: rows.fixed] = self.penalty * x[: rows.fixed]
        for group in rows.groups:
            part = x[group.columns].reshape(-1, group.dimension)
            product[group.columns] = (part @ self.of_group(group)).ravel()
        return product

    def inner(self, rows: Rows, left: Coefficients, right: Coefficients) -> float:
        """Left' (precision) right."""
        eliminated = np.einsum("ea,ab,eb->", left.u, self.precisions[rows.eliminated], right.u)
        return float(eliminated + left.x @ self.on_rest(rows, right.x))


@dataclass
class Step:
    """A Newton step.

    Attributes:
        change: Of the coefficients.
        direction: Of the margins, shape (n,).
        decrement: Gradient times change: twice the fall of the objective if it were quadratic.
        inverse: Posterior covariance of each entity of the eliminated effect were all else known, shape
            (entities + 1, d, d).
        variances: That of each level of the other effects, fixed categories among them, shape (width, largest
            dimension); 0 for fixed numbers.
        dense: Posterior covariance of the dense columns, shape (dense, dense).
        linear: What the step adds to the objective beside the likelihood and the normal priors, all of it linear.
        products: Products with the Schur complement that it took.
        skew: What makes it a step of Laplace's marginal likelihood.
    """

    change: Coefficients
    direction: Floats
    decrement: float
    inverse: Floats
    variances: Floats
    dense: Floats
    linear: float
    products: int
    skew: Skew | None = None


def newton_step(
    passes: Passes, at: Linearisation, now: Coefficients, prior: Prior, accuracy: float, before: Before | None = None
) -> Step:
    """Solve for the step.

    Args:
        passes: The rows.
        at: The likelihood at ``now``.
        now: Where to step from.
        prior: Of the coefficients.
        accuracy: Conjugate gradients stop when the residual has fallen by this factor, in the preconditioner's norm.
        before: Given when fixed effects go for the maximum of Laplace's marginal likelihood, not of the joint one.
    """
    rows = passes.rows
    precision = prior.precisions[rows.eliminated]
    inverse = np.asarray(np.linalg.inv(at.information + precision), np.float64)
    gradient = at.gradient - now.u @ precision
    alone = np.einsum("eab,eb->ea", inverse, gradient)
    right, blocks = passes.eliminate(at, inverse, alone)
    right -= prior.on_rest(rows, now.x)

    solver = Solver(passes, at, inverse, prior, blocks)
    found = skew(passes, at, inverse, solver, accuracy, before) if before else None
    if found is not None:
        right += found.tilt
    if prior.l1 > 0:
        x, linear = sparse_step(solver.within, right, now.x, prior.rates(rows), accuracy)
    else:
        x, linear = solver.solve(right, accuracy), 0.0
    u, direction = passes.substitute(at, inverse, gradient, x)
    # g_u'du + g_x'dx, with the part of g_x that eliminating u has moved put back.
    decrement = float(np.einsum("ea,ea->", gradient, alone) + right @ x) - linear
    if found is not None:
        linear -= float(found.tilt @ x)
    change = Coefficients(u, x)
    return Step(change, direction, decrement, inverse, solver.variances(), solver.dense, linear, solver.products, found)


class Solver:
    """Solves for the step of all but the eliminated effect, preconditioned by what is cheap to invert.

    Attributes:
        dense: The inverse of the dense columns' curvature, zero for those that are held; shape (dense, dense).
        levels: Of each group that is not dense, the inverses of its levels' own blocks, shape (levels, d, d).
        products: Products with the Schur complement so far.
    """

    def __init__(self, passes: Passes, at: Linearisation, inverse: Floats, prior: Prior, blocks: Floats) -> None:
        self._passes, self._at, self._inverse, self._prior = passes, at, inverse, prior
        rows = self._rows = passes.rows
        self._curvature = passes.dense_information(at, inverse) + prior.of_dense(rows)
        self._shape = blocks.shape
        self.products = 0
        self.levels = _level_inverses(rows, prior, blocks)
        self.dense: Floats = np.zeros((0, 0))
        self._hold(np.zeros(rows.width, np.bool_))

    @contextmanager
    def holding(self, held: npt.NDArray[np.bool_]) -> Iterator[None]:
        """While the block runs, what is held, shape (width,), is known: its step is zero."""
        self._hold(held)
        try:
            yield
        finally:
            self._hold(np.zeros_like(held))

    def within(
        self, right: Floats, accuracy: float, start: Floats | None = None, free: npt.NDArray[np.bool_] | None = None
    ) -> Floats:
        """The solution, or the one in which only what is ``free`` differs from ``start``, as from now on."""
        if start is None or free is None:
            return self.solve(right, accuracy)
        self._hold(~free)
        return start + self.solve(np.where(free, right - self._product(start), 0.0), accuracy)

    def solve(self, right: Floats, accuracy: float) -> Floats:
        """The solution for a right side that is zero where columns are held; shape (width,)."""

        def product(v: Floats) -> Floats:
            return np.where(self._held, v, self._product(v))

        x, count = _conjugate_gradients(product, self._precondition, right, accuracy)
        self.products += count
        return x

    def variances(self, within_dense: bool = True) -> Floats:
        """Each level's own block of the posterior covariance, zero for fixed numbers and for what is held.

        It is of the whole inverse for dense groups, or zero without ``within_dense``; shape (width, largest dimension).
        """
        dense = self.dense if within_dense else np.zeros_like(self.dense)
        variances = _variances(self._rows, dense, self.levels, self._shape)
        variances[self._held] = 0.0
        return variances

    def _product(self, v: Floats) -> Floats:
        return self._passes.schur_product(self._at, self._inverse, v) + self._prior.on_rest(self._rows, v)

    def _hold(self, held: npt.NDArray[np.bool_]) -> None:
        self._held, within = held, held[: self._rows.dense]
        curvature = self._curvature
        if within.any():
            curvature = np.where(within[:, None] | within, np.eye(len(within)), curvature)
        self.dense = np.asarray(np.linalg.inv(curvature), np.float64)
        self.dense[within, within] = 0.0  # what is held is known

    def _precondition(self, x: Floats) -> Floats:
        return np.where(self._held, x, _precondition(self._rows, self.dense, self.levels, x))


def _level_inverses(rows: Rows, prior: Prior, blocks: Floats) -> list[Floats]:
    """For each group that is not dense the inverse of every level's own block, shape (levels, d, d)."""
    inverses: list[Floats] = []
    for group in rows.groups[rows.dense_groups :]:
        own = blocks[group.columns, : group.dimension].reshape(group.levels, group.dimension, group.dimension)
        inverses.append(np.asarray(np.linalg.inv(own + prior.of_group(group)), np.float64))
    return inverses


def _precondition(rows: Rows, dense: Floats, inverses: Sequence[Floats], x: Floats) -> Floats:
    solved = np.empty_like(x)
    solved[: rows.dense] = dense @ x[: rows.dense]
    for group, inverse in zip(rows.groups[rows.dense_groups :], inverses, strict=True):
        part = x[group.columns].reshape(-1, group.dimension)
        solved[group.columns] = np.einsum("lab,lb->la", inverse, part).ravel()
    return solved


def _variances(rows: Rows, dense: Floats, inverses: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    """Each level's own block of the posterior covariance: of the whole inverse for dense groups."""
    variances = np.zeros(shape)
    found = [*(diagonal_blocks(dense, group) for group in rows.groups[: rows.dense_groups]), *inverses]
    for group, inverse in zip(rows.groups, found, strict=True):
        variances[group.columns, : group.dimension] = inverse.reshape(-1, group.dimension)
    return variances


def diagonal_blocks(matrix: Floats, group: Group) -> Floats:
    """The block of each level of a group, shape (levels, d, d)."""
    starts = np.arange(group.start, group.columns.stop, group.dimension)[:, None]
    within = starts + np.arange(group.dimension)
    return matrix[within[:, :, None], within[:, None, :]]


def _conjugate_gradients(
    product: Callable[[Floats], Floats], precondition: Callable[[Floats], Floats], right: Floats, accuracy: float
) -> tuple[Floats, int]:
    """Solve A x = right for positive definite A (Hestenes and Stiefel, 1952); the solution and the products taken."""
    x, residual = np.zeros_like(right), right.copy()
    solved = precondition(residual)
    direction, size = solved, float(residual @ solved)
    goal = accuracy**2 * size
    count = 0
    while size > goal and count < _MOST_ITERATIONS:
        image = product(direction)
        length = size / float(direction @ image)
        x += length * direction
        residual -= length * image
        solved = precondition(residual)
        before, size = size, float(residual @ solved)
        direction = solved + (size / before) * direction
        count += 1
    return x, count
