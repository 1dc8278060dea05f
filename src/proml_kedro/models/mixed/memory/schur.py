"""Solver for the Schur complement that eliminating the largest random effect leaves.

The system is solved by preconditioned conjugate gradients. One product with the matrix is one pass over the rows; the
matrix itself is never built, except for the dense columns, which the preconditioner inverts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from proml_kedro.models.mixed.conjugate_gradients import conjugate_gradients
from proml_kedro.models.mixed.memory.coefficients import Priors
from proml_kedro.models.mixed.memory.design import ColumnGroup, Design
from proml_kedro.models.mixed.memory.inverse import given
from proml_kedro.models.mixed.memory.inverse import inverse as inverse_of
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes


class SchurSolver:
    """Solver for the step of all coefficients but those of the eliminated effect.

    Attributes:
        dense: Inverse of the dense columns' curvature, zero for columns that are held; shape (dense, dense).
        levels: For each group that is not dense the inverses of its levels' own blocks, shape (levels, d, d).
        held: Columns that are held at a step of zero, shape (width,).
        products: Number of products with the Schur complement so far.

    Args:
        passes: Passes over the rows.
        at: Likelihood around the current coefficients.
        inverse: Posterior covariance of each entity of the eliminated effect given all else, shape
            (entities + 1, d, d).
        priors: Priors of the coefficients.
        blocks: Curvature within each level, shape (width, largest dimension); see :meth:`.Passes.eliminate`.
    """

    def __init__(self, passes: Passes, at: Linearisation, inverse: Floats, priors: Priors, blocks: Floats) -> None:
        self._passes, self._at, self._inverse, self._priors = passes, at, inverse, priors
        design = self._design = passes.design
        self._curvature = passes.dense_information(at, inverse) + priors.of_dense(design)
        self._covariance = inverse_of(self._curvature)
        self._shape = blocks.shape
        self.products = 0
        self.levels = _level_inverses(design, priors, blocks)
        self.dense: Floats = np.zeros((0, 0))
        self._hold(np.zeros(design.width, np.bool_))

    @contextmanager
    def holding(self, held: npt.NDArray[np.bool_]) -> Iterator[None]:
        """Hold the marked columns, shape (width,), at a step of zero while the block runs."""
        self._hold(held)
        try:
            yield
        finally:
            self._hold(np.zeros_like(held))

    def within(
        self, right: Floats, accuracy: float, start: Floats | None = None, free: npt.NDArray[np.bool_] | None = None
    ) -> Floats:
        """Solve for the free columns; the others keep their values in ``start``, and are held from now on."""
        if start is None or free is None:
            return self.solve(right, accuracy)
        self._hold(~free)
        return start + self.solve(np.where(free, right - self._product(start), 0.0), accuracy)

    def solve(self, right: Floats, accuracy: float) -> Floats:
        """Solve for a right side that is zero where columns are held; shape (width,)."""

        def product(v: Floats) -> Floats:
            return np.where(self.held, v, self._product(v))

        x, count = conjugate_gradients(product, self.precondition, right, accuracy)
        self.products += count
        return x

    def variances(self, within_dense: bool = True) -> Floats:
        """Return the block of each level of the posterior covariance, zero for fixed numbers and held columns.

        For dense groups it is the block of the whole inverse, or zero without ``within_dense``; for the others it is
        the inverse of the level's own block.

        Returns:
            Shape (width, largest dimension).
        """
        return self._by_level(self.dense if within_dense else np.zeros_like(self.dense))

    def variances_given_fixed(self) -> Floats:
        """Return what :meth:`variances` does, where dense fixed effects are taken as known."""
        fixed = np.arange(self._design.dense) < self._design.first_random
        return self._by_level(given(self._curvature, self._covariance, fixed))

    def _by_level(self, dense: Floats) -> Floats:
        variances = np.zeros(self._shape)
        design = self._design
        blocks = [*(diagonal_blocks(dense, group) for group in design.groups[: design.dense_groups]), *self.levels]
        for group, block in zip(design.groups, blocks, strict=True):
            variances[group.columns, : group.dimension] = block.reshape(-1, group.dimension)
        variances[self.held] = 0.0
        return variances

    def _product(self, v: Floats) -> Floats:
        return self._passes.schur_product(self._at, self._inverse, v) + self._priors.times(self._design, v)

    def _hold(self, held: npt.NDArray[np.bool_]) -> None:
        self.held = held  # a held column has no uncertainty
        self.dense = given(self._curvature, self._covariance, held[: self._design.dense])

    def precondition(self, x: Floats) -> Floats:
        """Multiply x by the inverse of the dense columns and of each other level's block; held columns stay."""
        return np.where(self.held, x, _precondition(self._design, self.dense, self.levels, x))


def _level_inverses(design: Design, priors: Priors, blocks: Floats) -> list[Floats]:
    """Invert the block of every level of each group that is not dense; shape (levels, d, d) each."""
    inverses: list[Floats] = []
    for group in design.groups[design.dense_groups :]:
        own = blocks[group.columns, : group.dimension].reshape(group.levels, group.dimension, group.dimension)
        inverses.append(np.asarray(np.linalg.inv(own + priors.of_group(group)), np.float64))
    return inverses


def _precondition(design: Design, dense: Floats, inverses: Sequence[Floats], x: Floats) -> Floats:
    """Multiply x by the inverse of the dense columns and of each other level's block."""
    solved = np.empty_like(x)
    solved[: design.dense] = dense @ x[: design.dense]
    for group, inverse in zip(design.groups[design.dense_groups :], inverses, strict=True):
        part = x[group.columns].reshape(-1, group.dimension)
        solved[group.columns] = np.einsum("lab,lb->la", inverse, part).ravel()
    return solved


def diagonal_blocks(matrix: Floats, group: ColumnGroup) -> Floats:
    """Take the diagonal block of each level of a group, shape (levels, d, d)."""
    starts = np.arange(group.start, group.columns.stop, group.dimension)[:, None]
    within = starts + np.arange(group.dimension)
    return matrix[within[:, :, None], within[:, None, :]]
