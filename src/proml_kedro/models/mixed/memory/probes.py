"""Posterior covariances where too many columns are left for a dense matrix: by solving for random right sides.

With z of independent random signs and w = H^-1 z, the expectation of w z' is H^-1 (Hutchinson, 1990). Averaged over the
levels of an effect, its diagonal blocks are known well from few z, the more so because only the difference to the
what a block diagonal approximation gives, whose mean is known, is left to chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.schur import SchurSolver

PROBES = 16
"""Number of random right sides. They are the same in each step, so that steps come to rest."""

SEED = 0
"""Of the signs."""

_ACCURACY = 1e-4


@dataclass(frozen=True)
class MeanCovariances:
    """Mean posterior covariance of each random effect over its levels, estimated by chance.

    Attributes:
        means: Shape (d, d) each, by the position of the effect.
        errors: Standard errors of their diagonals, shape (d,) each.
    """

    means: Sequence[Array]
    errors: Sequence[Array]


def mean_covariances(passes: Passes, at: Linearisation, inverse: Floats, solver: SchurSolver) -> MeanCovariances:
    """Estimate the mean posterior covariance of each random effect, given what the solver holds.

    Args:
        passes: Passes over the rows.
        at: Likelihood around the current coefficients.
        inverse: Posterior covariance of each entity of the eliminated effect given all else, shape
            (entities + 1, d, d).
        solver: Solver of the Newton equations.
    """
    design = passes.design
    generator = np.random.default_rng(SEED)
    random = np.arange(design.width) >= design.first_random
    own, chief = solver.variances(), _own_of_eliminated(passes, at, inverse, solver)
    found: list[list[Array]] = [[] for _ in range(PROBES)]
    for one in found:
        signs_u = generator.choice([-1.0, 1.0], (design.entities + 1, design.z.shape[1]))
        signs_u[-1] = 0.0
        signs_x = np.where(random, generator.choice([-1.0, 1.0], design.width), 0.0)
        u, x = _difference(passes, at, inverse, solver, signs_u, signs_x)
        one += _by_effect(design, (u[:-1], x), (signs_u[:-1], signs_x), (chief[:-1], own))
    means = [np.mean(parts, axis=0) for parts in zip(*found, strict=True)]
    errors = [np.std([np.diag(p) for p in parts], axis=0, ddof=1) / PROBES**0.5 for parts in zip(*found, strict=True)]
    return MeanCovariances(means, errors)


def _own_of_eliminated(passes: Passes, at: Linearisation, inverse: Floats, solver: SchurSolver) -> Floats:
    """Compute each entity's covariance, with the uncertainty of the other levels as if they were independent.

    It is V_e + V_e C_e B C_e' V_e with the block diagonal matrix B that preconditions the solver.
    """
    design = passes.design
    found = passes.add_uncertainty_of_rest(at, inverse, solver.dense)
    entity = np.repeat(np.arange(design.entities + 1), np.diff(design.starts))
    for position in range(design.dense_groups, len(design.groups)):
        group, first = design.groups[position], int(design.bounds[position])
        level = (design.index[:, first] - group.start) // group.dimension
        pairs, order, starts = _pairs(entity, level, group.levels)
        f = design.value[:, first : first + group.dimension]
        cross = np.einsum("n,na,nb->nab", at.weight, design.z, f)[order]
        solved = inverse[pairs // group.levels] @ np.add.reduceat(cross, starts, axis=0)
        block = solver.levels[position - design.dense_groups][pairs % group.levels].copy()
        block[solver.held[group.start + pairs % group.levels * group.dimension]] = 0.0
        np.add.at(found, pairs // group.levels, solved @ block @ solved.transpose(0, 2, 1))
    return found


def _pairs(entity: Array, level: Array, levels: int) -> tuple[Array, Array, Array]:
    """Sort rows by entity and level: each pair that occurs, the order of the rows, and the first row of each pair."""
    keys = entity.astype(np.int64) * levels + level
    order = np.argsort(keys, kind="stable")
    pairs, starts = np.unique(keys[order], return_index=True)
    return pairs, order, starts


def _difference(
    passes: Passes, at: Linearisation, inverse: Floats, solver: SchurSolver, u: Floats, x: Floats
) -> tuple[Floats, Floats]:
    """Solve for a right side of all coefficients, less what the preconditioner alone gives."""
    nothing = replace(at, residual=np.zeros_like(at.residual))
    right, _ = passes.eliminate(nothing, inverse, np.einsum("eab,eb->ea", inverse, u))
    right = np.where(solver.held, 0.0, right + x)
    difference = solver.solve(right, _ACCURACY) - np.where(solver.held, 0.0, solver.precondition(right))
    return passes.substitute(at, inverse, np.zeros_like(u), difference)[0], difference


def _by_effect(
    design: Design, difference: tuple[Floats, Floats], signs: tuple[Floats, Floats], known: tuple[Floats, Floats]
) -> list[Array]:
    """Average the products of one probe over the levels of each effect, and add the mean of what is known."""
    (u, x), (signs_u, signs_x), (chief, own) = difference, signs, known
    found = {design.eliminated: _symmetric(u, signs_u, chief)}
    for group in design.groups:
        if group.effect is not None:
            shape = group.levels, group.dimension
            block = own[group.columns, : group.dimension].reshape(*shape, group.dimension)
            part, sign = x[group.columns].reshape(shape), signs_x[group.columns].reshape(shape)
            found[group.effect] = _symmetric(part, sign, block)
    return [found[k] for k in sorted(found)]


def _symmetric(difference: Floats, signs: Floats, known: Floats) -> Array:
    product = difference.T @ signs / len(signs)
    return np.asarray((product + product.T) / 2 + known.mean(0))


def fixed_covariance(solver: SchurSolver, columns: int) -> Floats:
    """Compute the posterior covariance of the first columns, one solution for each; shape (columns, columns)."""
    found = np.zeros((columns, columns))
    for k in range(columns):
        if not solver.held[k]:
            right = np.zeros(len(solver.held))
            right[k] = 1.0
            found[k] = solver.solve(right, _ACCURACY)[:columns]
    return (found + found.T) / 2
