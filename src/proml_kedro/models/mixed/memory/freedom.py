"""Uncertainty of the fixed effects' covariance, from which degrees of freedom follow (Satterthwaite, 1946).

With few entities the variances are known roughly, and so are standard errors: a ratio of a coefficient to its error is
more like Student's t than a normal variate. Its degrees of freedom are those of lmerTest (Kuznetsova, Brockhoff and
Christensen, 2017): for a combination c of the fixed effects, twice the square of c'Vc over the variance of c'Vc, which
comes from the gradient of V by the variance parameters and from the curvature of the restricted likelihood by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.fit import LEAST_PENALTY
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.problem import FitProblem
from proml_kedro.models.mixed.notes import NEGLIGIBLE

Floats = npt.NDArray[np.float64]

MOST_COLUMNS = 512
"""Fixed and random columns up to which the covariance is differentiated: a fraction of a second."""

_STEP = 1e-3
_LEAST_CURVATURE = 1e-6  # relative to the largest: a variance of zero says nothing of the errors


@dataclass(frozen=True)
class _Products:
    """Sums over the rows, which say all that the restricted likelihood depends on.

    Attributes:
        rows: Number of rows, by weight.
        square: Sum of the squared labels.
        matrix: Products of the random columns, then the fixed ones, with each other; shape (width, width).
        right: Products of the same with the labels, shape (width,).
        fixed: Number of fixed columns, which are the last.
        penalty: Penalty of each fixed column, shape (fixed,).
        sizes: For each random effect its levels and its coefficients a level.
        diagonal: For each random effect whether the coefficients of a level are independent.
        given: For each random effect its covariance where that is not estimated, or practically zero: the likelihood
            is flat there, which says nothing of what the errors rest on.
    """

    rows: float
    square: float
    matrix: Floats
    right: Floats
    fixed: int
    penalty: Floats
    sizes: Sequence[tuple[int, int]]
    diagonal: Sequence[bool]
    given: Sequence[Array | None]


def covariance_gradients(problem: FitProblem, fit: InMemoryFit, penalty: float) -> Floats | None:
    """Differentiate the covariance of the fixed effects by independent variance parameters of standard deviation 1.

    Args:
        problem: Rows and terms of a linear model.
        fit: Its fit, in the unit in which labels are fitted; the gradients are in that of the labels.
        penalty: Penalty of the fixed effects.

    Returns:
        Shape (parameters, fixed, fixed), where the sum of the squares of c'Gc over the parameters is the variance of
        c'Vc; None where the model is too large, continues another one, or is not linear.
    """
    terms = problem.terms
    random = sum(one.size for one in fit.effects)
    fixed = len(fit.fixed) + sum(len(one) for one in fit.categories)
    if problem.loss != "linear" or terms.factors or problem.previous is not None or random + fixed > MOST_COLUMNS:
        return None
    products = _products(problem, fit, penalty)
    start = _parameters(products, fit)
    steps = _STEP * np.maximum(np.abs(start), 0.1)
    values, vectors = np.linalg.eigh(_curvature(products, start, steps))
    kept = values > _LEAST_CURVATURE * values[-1]
    gradients = np.array([_slope(products, start, steps, k) for k in range(len(start))])
    weights = vectors[:, kept] * np.sqrt(2.0 / values[kept])
    return np.asarray(np.einsum("kr,kab->rab", weights, gradients) * problem.unit.deviation**2)


def _products(problem: FitProblem, fit: InMemoryFit, penalty: float) -> _Products:
    from scipy.sparse import csr_array, hstack

    terms, columns, rows = problem.terms, problem.columns, len(problem.label)
    blocks, sizes = [], []
    for spec, (codes, levels) in zip(terms.effects, terms.effect_codes(columns), strict=True):
        blocks.append(_by_level(codes, terms.slopes(columns, spec), levels))
        sizes.append((levels, len(spec.features)))
    numbers = terms.fixed(columns)
    blocks.append(csr_array(numbers))
    blocks += [_by_level(codes, np.ones((rows, 1)), max(levels, 1)) for codes, levels in terms.category_codes(columns)]
    design = csr_array(hstack(blocks))
    weighted = design.multiply(problem.weight[:, None]).tocsr()
    label = problem.unit.remove(problem.label - terms.offset(columns))
    width = numbers.shape[1] + sum(len(one) for one in fit.categories)
    penalties = np.full(width, max(penalty, LEAST_PENALTY))
    penalties[0] = LEAST_PENALTY
    return _Products(
        rows=float(problem.weight.sum()),
        square=float(problem.weight @ label**2),
        matrix=(weighted.T @ design).toarray(),
        right=np.asarray(weighted.T @ label),
        fixed=width,
        penalty=penalties,
        sizes=sizes,
        diagonal=[spec.covariance == "diagonal" for spec in terms.effects],
        given=[
            None if one.is_estimated and np.diag(found).max() > NEGLIGIBLE**2 else found
            for one, found in zip(problem.covariances(), fit.covariances, strict=True)
        ],
    )


def _by_level(codes: Array, values: Array, levels: int) -> Array:
    """Lay values, shape (n, d), into the columns of each row's level; none where the code is -1."""
    from scipy.sparse import csr_array

    known, d = np.flatnonzero(codes >= 0), values.shape[1]
    places = codes[known, None].astype(np.int64) * d + np.arange(d)
    rows = np.repeat(known, d)
    return cast(
        Array, csr_array((values[known].ravel().astype(np.float64), (rows, places.ravel())), (len(codes), levels * d))
    )


def _parameters(products: _Products, fit: InMemoryFit) -> Floats:
    """Take the parameters: elements of each Cholesky factor in residual deviations, and the residual deviation."""
    deviation = np.sqrt(fit.dispersion)
    found = [np.zeros(0)]
    for covariance, diagonal, given in zip(fit.covariances, products.diagonal, products.given, strict=True):
        if given is None:
            found.append((_root(covariance) / deviation)[_places(len(covariance), diagonal)])
    return np.concatenate([*found, [deviation]])


def _root(covariance: Array) -> Floats:
    """Factorise a covariance; a little on its diagonal gives a singular one a factor too."""
    size = len(covariance)
    return np.asarray(np.linalg.cholesky(covariance + 1e-14 * np.trace(covariance) * np.eye(size)))


def _places(size: int, diagonal: bool) -> tuple[Array, ...]:
    """List the elements of a Cholesky factor that are not zero by definition."""
    return np.diag_indices(size) if diagonal else np.tril_indices(size)


def _factors(products: _Products, parameters: Floats) -> Floats:
    """Arrange the Cholesky factors of all levels, in residual deviations; shape (random, random)."""
    from scipy.linalg import block_diag

    blocks, first = [], 0
    for (levels, size), diagonal, given in zip(products.sizes, products.diagonal, products.given, strict=True):
        if given is None:
            places, factor = _places(size, diagonal), np.zeros((size, size))
            factor[places] = parameters[first : first + len(places[0])]
            first += len(places[0])
        else:
            factor = _root(given) / parameters[-1]
        blocks.append(np.kron(np.eye(levels), factor))
    return np.asarray(block_diag(*blocks))


def _evaluate(products: _Products, parameters: Floats) -> tuple[float, Floats]:
    """Compute the restricted deviance, but for a constant, and the covariance of the fixed effects.

    The equations are those of Bates, Maechler, Bolker and Walker (2015), with a normal prior of the fixed effects.
    """
    from scipy.linalg import solve_triangular

    random, square = len(products.matrix) - products.fixed, parameters[-1] ** 2
    factors = _factors(products, parameters)
    matrix, right = products.matrix.copy(), products.right.copy()
    matrix[:random] = factors.T @ matrix[:random]
    matrix[:, :random] = matrix[:, :random] @ factors
    right[:random] = factors.T @ right[:random]
    matrix[np.diag_indices_from(matrix)] += np.concatenate([np.ones(random), square * products.penalty])
    lower = np.linalg.cholesky(matrix)
    solved = solve_triangular(lower, right, lower=True)
    free, rest = products.rows - products.fixed, products.square - float(solved @ solved)
    deviance = free * np.log(square) + 2 * np.log(np.diag(lower)).sum() + rest / square
    inverse = solve_triangular(lower[random:, random:], np.eye(products.fixed), lower=True)
    return float(deviance), square * inverse.T @ inverse


def _slope(products: _Products, start: Floats, steps: Floats, k: int) -> Floats:
    """Differentiate the covariance by a parameter, by central differences; shape (fixed, fixed)."""
    step = np.where(np.arange(len(start)) == k, steps, 0.0)
    after, before = (_evaluate(products, start + sign * step)[1] for sign in (1, -1))
    return np.asarray((after - before) / (2 * steps[k]))


def _curvature(products: _Products, start: Floats, steps: Floats) -> Floats:
    """Differentiate the deviance twice, by central differences; shape (parameters, parameters)."""
    count = len(start)
    found = np.zeros((count, count))
    each = np.diag(steps)

    def at(*moves: Floats) -> float:
        return _evaluate(products, start + np.sum(moves, axis=0))[0]

    middle = at(np.zeros(count))
    for a in range(count):
        found[a, a] = (at(each[a]) - 2 * middle + at(-each[a])) / steps[a] ** 2
        for b in range(a):
            mixed = at(each[a], each[b]) - at(each[a], -each[b]) - at(-each[a], each[b]) + at(-each[a], -each[b])
            found[a, b] = found[b, a] = mixed / (4 * steps[a] * steps[b])
    return found
