"""Coefficients of a model as the Newton steps arrange them, and their priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.design import ColumnGroup, Design
from proml_kedro.models.mixed.memory.passes import Floats


@dataclass
class Coefficients:
    """All coefficients.

    Attributes:
        u: Coefficients of the eliminated effect, shape (entities + 1, d); the last row stays zero.
        x: All others, shape (width,).
    """

    u: Floats
    x: Floats

    def moved(self, step: Coefficients, length: float) -> Coefficients:
        """Return these coefficients plus ``length`` times the step."""
        return Coefficients(self.u + length * step.u, self.x + length * step.x)


@dataclass(frozen=True)
class Priors:
    """Normal priors with mean zero, and the Laplace prior of the elastic net.

    Attributes:
        penalty: Precision of each of the fixed numbers, shape (fixed,).
        category_penalty: Precision of the levels of categorical fixed effects.
        precisions: Precision of each random effect, shape (d, d).
        l1: Rate of the Laplace prior of the fixed effects; the intercept has none.
    """

    penalty: Array
    category_penalty: float
    precisions: Sequence[Array]
    l1: float = 0.0

    def rates(self, design: Design) -> Array:
        """Return the Laplace rate of every column, 0 for random effects and the intercept; shape (width,)."""
        rates = np.zeros(design.width)
        rates[1 : design.fixed] = self.l1
        for group in design.groups:
            if group.effect is None:
                rates[group.columns] = self.l1
        return rates

    def of_group(self, group: ColumnGroup) -> Array:
        """Return the precision of one level of a group, shape (d, d)."""
        return np.array([[self.category_penalty]]) if group.effect is None else self.precisions[group.effect]

    def of_dense(self, design: Design) -> Array:
        """Return the precision of the dense columns, shape (dense, dense)."""
        matrix = np.zeros((design.dense, design.dense))
        matrix[: design.fixed, : design.fixed] = np.diag(self.penalty)
        for group in design.groups[: design.dense_groups]:
            matrix[group.columns, group.columns] = np.kron(np.eye(group.levels), self.of_group(group))
        return matrix

    def dense_blocks(self, design: Design) -> list[tuple[slice, Array]]:
        """Return the same as :meth:`of_dense`: the columns of each run of equal blocks, and the block."""
        numbers = [(slice(k, k + 1), self.penalty[k : k + 1, None]) for k in range(design.fixed)]
        return [*numbers, *((one.columns, self.of_group(one)) for one in design.groups[: design.dense_groups])]

    def times(self, design: Design, x: Floats) -> Floats:
        """Multiply the precision of all but the eliminated effect by x; shape (width,)."""
        product = np.empty_like(x)
        product[: design.fixed] = self.penalty * x[: design.fixed]
        for group in design.groups:
            part = x[group.columns].reshape(-1, group.dimension)
            product[group.columns] = (part @ self.of_group(group)).ravel()
        return product

    def inner(self, design: Design, left: Coefficients, right: Coefficients) -> float:
        """Compute left' P right with the precision P of all coefficients."""
        eliminated = np.einsum("ea,ab,eb->", left.u, self.precisions[design.eliminated], right.u)
        return float(eliminated + left.x @ self.times(design, right.x))
