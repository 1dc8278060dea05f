"""``method: laplace`` against the marginal likelihood itself, computed with dense matrices."""

import numpy as np
import pytest

from dense_mixed import arrange, dense_design, dense_precision, derivatives, make_problem
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.losses import constant, third_derivative
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.kernels import dense as dense_kernels
from proml_kedro.models.mixed.memory.laplace import second_moment
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.spec import MixedSpec

PENALTY = 0.7
TIGHT = {"penalty": PENALTY, "tolerance": 1e-9, "covariance_tolerance": 1e-8, "max_iterations": 500}
SHAPES = [((23,), (1,)), ((23, 11), (2, 1)), ((9, 30), (1, 2)), ((12, 10, 20), (2, 1, 1))]


class Dense:
    """Laplace's approximation by plain Newton steps for the mode of the effects."""

    def __init__(self, problem, loss, weight):
        self.label, self.offset, fixed, self.categories, self.effects = problem
        self.fixed, self.loss, self.weight = fixed, loss, weight.astype(np.float64)
        design = dense_design(fixed, self.categories, self.effects)
        self.count = fixed.shape[1] + sum(one.levels for one in self.categories)
        self.x, self.a = design[:, : self.count], design[:, self.count :]

    def value(self, beta, covariances):
        """Log marginal likelihood, less the penalty of the fixed effects."""
        precision = dense_precision(self.fixed, self.categories, covariances, self.effects, PENALTY)
        prior, penalty = precision[self.count :, self.count :], precision[: self.count, : self.count]
        mode = np.zeros(len(prior))
        fixed = self.offset + self.x @ beta
        for _ in range(60):
            _, residual, curve = derivatives(self.loss, fixed + self.a @ mode, self.label)
            curvature = self.a.T @ (self.a * (self.weight * curve)[:, None]) + prior
            step = np.linalg.solve(curvature, self.a.T @ (self.weight * residual) - prior @ mode)
            mode += step / max(1.0, np.abs(step).max())
            if np.abs(step).max() < 1e-13:
                break
        lost = derivatives(self.loss, fixed + self.a @ mode, self.label)[0]
        determinant = np.linalg.slogdet(curvature)[1] - np.linalg.slogdet(prior)[1]
        joint = self.weight @ lost + mode @ prior @ mode / 2 + constant(self.loss, self.label, self.weight, 1.0)
        return -joint - determinant / 2 - beta @ penalty @ beta / 2


def slopes(function, at, size=1e-4):
    """The derivative by each entry, by central differences."""
    found = []
    for position in range(len(at)):
        change = np.zeros(len(at))
        change[position] = size
        found.append((function(at + change) - function(at - change)) / (2 * size))
    return np.array(found)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize(("levels", "dimensions"), SHAPES)
def test_the_marginal_likelihood_is_at_its_maximum(loss, levels, dimensions):
    problem = make_problem(700, levels, dimensions, seed=4, loss=loss)
    weight = np.random.default_rng(0).integers(1, 3, 700).astype(np.float32)
    label, offset, fixed, categories, effects = problem
    covariances = [Covariance(0.2 * np.eye(one.dimension), True, False) for one in effects]
    rows = arrange(label, offset, fixed, categories, effects, weight)
    found = fit(rows, covariances, FitSettings(loss, "laplace", **TIGHT))
    assert found.converged
    dense = Dense(problem, loss, weight)
    beta = np.concatenate([found.fixed, *found.categories])
    np.testing.assert_allclose(slopes(lambda at: dense.value(at, found.covariances), beta), 0, atol=1e-3)

    roots = [np.linalg.cholesky(one) for one in found.covariances]
    lower = [np.tril_indices(len(one)) for one in roots]

    def by_roots(entries):
        parts = np.split(entries, np.cumsum([len(one[0]) for one in lower])[:-1])
        matrices = [np.zeros_like(one) for one in roots]
        for matrix, at, part in zip(matrices, lower, parts, strict=True):
            matrix[at] = part
        return dense.value(beta, [one @ one.T for one in matrices])

    entries = np.concatenate([root[at] for root, at in zip(roots, lower, strict=True)])
    np.testing.assert_allclose(slopes(by_roots, entries), 0, atol=2e-3)
    unpenalised = dense.value(beta, found.covariances) + PENALTY * beta[1:] @ beta[1:] / 2 + 1e-4 * beta[0] ** 2 / 2
    assert found.log_likelihood == pytest.approx(unpenalised, abs=1e-3)


def test_it_is_another_maximum_than_that_of_penalised_quasi_likelihood():
    label, offset, fixed, categories, effects = make_problem(700, (60,), (1,), seed=4)
    rows = arrange(label, offset, fixed, categories, effects)
    variances = []
    for method in ("laplace", "pql"):
        covariance = Covariance(0.2 * np.eye(1), True, False)
        fit(rows, [covariance], FitSettings(method=method))
        variances.append(covariance.value[0, 0])
    assert variances[0] > 1.02 * variances[1]


def test_a_linear_model_is_what_it_is_without():
    problem = make_problem(400, loss="linear")
    found = [
        fit(arrange(*problem), [Covariance(np.eye(one.dimension), True, False) for one in problem[-1]], how)
        for how in (FitSettings("linear", "laplace"), FitSettings("linear", "pql"))
    ]
    np.testing.assert_array_equal(found[0].fixed, found[1].fixed)


@pytest.mark.parametrize("loss", ["logistic", "linear", "poisson"])
def test_the_third_derivative_is_that_of_the_second(loss):
    eta, change = np.linspace(-4, 4, 9), 1e-5
    above, here, below = (derivatives(loss, eta + one, np.ones(9))[2] for one in (change, 0, -change))
    np.testing.assert_allclose(third_derivative(loss, eta, here), (above - below) / (2 * change), atol=1e-8)


def test_the_variance_of_a_margin_is_that_of_all_it_adds_up():
    """Beside the inverse of the whole curvature."""
    label, offset, fixed, categories, effects = make_problem(300, (23, 11), (2, 1))
    rows = arrange(label, offset, fixed, categories, effects)
    weight = np.random.default_rng(1).uniform(0.1, 0.3, len(rows))
    spread = [0.4 * np.eye(one.dimension) for one in effects]
    prior = dense_precision(fixed, categories, spread, effects, PENALTY)
    design = dense_design(fixed, categories, effects)[rows.order].astype(np.float64)
    whole = np.linalg.inv(design.T @ (design * weight[:, None]) + prior)
    count, d = fixed.shape[1] + categories[0].levels, rows.z.shape[1]
    first = [count, count + 23 * 2][rows.eliminated]
    mine = np.arange(first, first + rows.entities * d)
    rest = np.setdiff1d(np.arange(len(whole)), mine)
    assert rows.dense == len(rest)
    known = np.linalg.inv(np.linalg.inv(whole)[np.ix_(mine, mine)])
    inverse, covariance = np.zeros((2, rows.entities + 1, d, d))
    for e in range(rows.entities):
        at = np.arange(e * d, e * d + d)
        inverse[e], covariance[e] = known[np.ix_(at, at)], whole[np.ix_(mine[at], mine[at])]
    found = np.empty(len(rows))
    dense_kernels.margin_variance(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.dense_entries,
        weight, inverse, whole[np.ix_(rest, rest)], covariance, found,
    )  # fmt: skip
    np.testing.assert_allclose(found, np.einsum("na,ab,nb->n", design, whole, design), rtol=1e-6)


def test_a_second_moment_stays_positive():
    mode, shift = np.random.default_rng(0).normal(size=(2, 50, 3))
    np.testing.assert_allclose(second_moment(mode, 0 * mode), mode.T @ mode / 50)
    assert np.linalg.eigvalsh(second_moment(mode, -3 * mode + shift)).min() > 0


def test_factors_are_refused():
    effects = [{"entity": "a"}, {"kind": "factors", "entity": ["a", "b"]}]
    with pytest.raises(ValueError, match="'laplace' knows no factors; take 'variational'"):
        MixedSpec.model_validate({"kind": "mixed", "inputs": ["*"], "random_effects": effects, "method": "laplace"})
