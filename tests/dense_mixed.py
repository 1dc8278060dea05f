"""The same model without any of the engine's ideas: dense matrices, plain Newton steps, and each kernel in NumPy."""

import numpy as np

from proml_kedro.models.mixed.memory.design import lay_out
from proml_kedro.models.mixed.memory.observations import CategoryTerm, DesignTerms, Observations, RandomEffectTerm


def make_problem(rows=400, entities=(23, 11), dimensions=(2, 1), numbers=2, seed=0, missing=0.1, loss="logistic"):
    """Label, offset, numbers with a column of ones first, one categorical fixed effect, and random effects."""
    generator = np.random.default_rng(seed)
    fixed = np.column_stack([np.ones(rows), generator.normal(size=(rows, numbers))]).astype(np.float32)
    offset = generator.normal(0, 0.5, rows).astype(np.float32)
    category = CategoryTerm(_codes(generator, rows, 4, missing), 4)
    effects, margin = [], offset + fixed @ generator.normal(0, 0.5, numbers + 1)
    for levels, d in zip(entities, dimensions, strict=True):
        slopes = np.column_stack([np.ones(rows), generator.normal(size=(rows, d - 1))]).astype(np.float32)
        codes = _codes(generator, rows, levels, missing)
        effects.append(RandomEffectTerm(codes, slopes, levels))
        coefficients = generator.normal(0, 0.8, (levels, d))
        margin = margin + np.where(codes < 0, 0, (slopes * coefficients[codes]).sum(1))
    return draw(generator, loss, margin).astype(np.float32), offset, fixed, [category], effects


def arrange(label, offset, numbers, categories, effects, weight=None, factors=()):
    """The design of what :func:`make_problem` gives."""
    return lay_out(Observations(label, offset, weight), DesignTerms(numbers, categories, effects, factors))


def draw(generator, loss, margin):
    """Labels with these margins; of the linear loss with a residual variance of 0.25."""
    if loss == "logistic":
        return generator.random(len(margin)) < 1 / (1 + np.exp(-margin))
    if loss == "linear":
        return margin + generator.normal(0, 0.5, len(margin))
    return generator.poisson(np.exp(np.minimum(margin, 6)))


def derivatives(loss, eta, label):
    """Negative log likelihood without its constant, minus its derivative, and its curvature; shape (n,) each."""
    if loss == "logistic":
        p = 1 / (1 + np.exp(-eta))
        return np.logaddexp(0, eta) - label * eta, label - p, p * (1 - p)
    if loss == "linear":
        return (label - eta) ** 2 / 2, label - eta, np.ones(len(eta))
    return np.exp(eta) - label * eta, label - np.exp(eta), np.exp(eta)


def _codes(generator, rows, levels, missing):
    codes = generator.integers(0, levels, rows)
    return np.where(generator.random(rows) < missing, -1, codes).astype(np.int32)


def dense_design(fixed, categories, effects):
    """All columns: numbers, categories, and effects in their order."""
    columns = [fixed.astype(np.float64)]
    columns += [_one_hot(one.codes, one.levels) for one in categories]
    for one in effects:
        hot = _one_hot(one.entities, one.levels)
        columns.append((hot[:, :, None] * one.slopes[:, None, :]).reshape(len(hot), -1))
    return np.concatenate(columns, axis=1)


def _one_hot(codes, levels):
    return (codes[:, None] == np.arange(levels)).astype(np.float64)


def dense_precision(fixed, categories, covariances, effects, penalty):
    """The diagonal blocks of the prior's precision."""
    blocks = [np.diag([1e-4] + [penalty] * (fixed.shape[1] - 1))]
    blocks += [np.eye(one.levels) * penalty for one in categories]
    blocks += [np.kron(np.eye(e.levels), np.linalg.inv(c)) for e, c in zip(effects, covariances, strict=True)]
    size = sum(len(block) for block in blocks)
    matrix, start = np.zeros((size, size)), 0
    for block in blocks:
        matrix[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return matrix


def penalised_newton(design, label, offset, precision, loss="logistic", weight=None):
    """The coefficients at which the gradient of the penalised likelihood is zero, and the curvature there."""
    x = np.zeros(design.shape[1])
    weight = np.ones(len(label)) if weight is None else weight.astype(np.float64)
    label, offset = label.astype(np.float64), offset.astype(np.float64)

    def objective(x):
        return weight @ derivatives(loss, offset + design @ x, label)[0] + x @ precision @ x / 2

    for _ in range(200):
        _, residual, curve = derivatives(loss, offset + design @ x, label)
        curvature = design.T @ (design * (weight * curve)[:, None]) + precision
        step = np.linalg.solve(curvature, design.T @ (weight * residual) - precision @ x)
        while objective(x + step) > objective(x) + 1e-9 * abs(objective(x)):
            step /= 2
        x += step
        if np.abs(step).max() < 1e-12:
            break
    return x, curvature


def elastic_net(design, label, offset, precision, rates, loss):
    """As :func:`penalised_newton` with rates times absolute values added, by proximal gradient steps (FISTA)."""
    label, offset = label.astype(np.float64), offset.astype(np.float64)
    x = y = np.zeros(design.shape[1])
    curve = {"logistic": 0.25, "linear": 1.0, "poisson": 40.0}[loss]
    bound = np.linalg.eigvalsh(curve * design.T @ design + precision).max()
    momentum = 1.0
    for _ in range(60_000):
        slope = -design.T @ derivatives(loss, offset + design @ y, label)[1] + precision @ y
        moved = y - slope / bound
        new = np.sign(moved) * np.maximum(np.abs(moved) - rates / bound, 0)
        after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if (new - x) @ slope > 0:  # start again where momentum leads uphill
            after = 1.0
        y, change = new + (momentum - 1) / after * (new - x), np.abs(new - x).max()
        x, momentum = new, after
        if change < 1e-11:
            break
    return x
