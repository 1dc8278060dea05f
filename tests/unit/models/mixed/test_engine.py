"""The engine against a direct solution, known truths, and the transformations that must not matter."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dense_mixed import dense_design, dense_precision, make_problem, penalised_newton
from proml_kedro.models.mixed import design
from proml_kedro.models.mixed.design import Category, Effect, arrange
from proml_kedro.models.mixed.empirical_bayes import Covariance
from proml_kedro.models.mixed.engine import Settings, fit

EXACT = Settings(variational=False, penalty=0.7, tolerance=1e-9)
SHAPES = [((23,), (1,)), ((23, 11), (2, 1)), ((9, 40), (1, 3)), ((12, 12, 30), (2, 1, 2))]
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fixed_covariances(effects, seed=1):
    generator = np.random.default_rng(seed)
    roots = [generator.normal(size=(one.dimension, one.dimension)) for one in effects]
    return [Covariance(0.3 * root @ root.T + 0.2 * np.eye(len(root)), False, False) for root in roots]


def estimated(effects, diagonal=False):
    return [Covariance(0.5 * np.eye(one.dimension), True, diagonal) for one in effects]


def coefficients(found):
    return np.concatenate([found.fixed, *found.categories, *(one.ravel() for one in found.effects)])


@pytest.mark.parametrize(("entities", "dimensions"), SHAPES, ids=str)
@pytest.mark.parametrize("most_dense", [0, 512])
def test_equals_a_direct_dense_solution(entities, dimensions, most_dense, monkeypatch):
    monkeypatch.setattr(design, "_MOST_DENSE", most_dense)
    label, offset, fixed, categories, effects = make_problem(entities=entities, dimensions=dimensions)
    covariances = fixed_covariances(effects)
    found = fit(arrange(label, offset, fixed, categories, effects), covariances, EXACT)
    precision = dense_precision(fixed, categories, [one.value for one in covariances], effects, EXACT.penalty)
    expected, curvature = penalised_newton(dense_design(fixed, categories, effects), label, offset, precision)
    assert found.converged
    np.testing.assert_allclose(coefficients(found), expected, atol=1e-6)
    largest = max(range(len(effects)), key=lambda k: effects[k].levels * effects[k].dimension)
    own = curvature[-effects[-1].levels * effects[-1].dimension :, -effects[-1].levels * effects[-1].dimension :]
    if largest == len(effects) - 1:  # its blocks are inverted exactly
        d = effects[-1].dimension
        for level, covariance in enumerate(found.uncertainties[-1]):
            at = slice(level * d, (level + 1) * d)
            np.testing.assert_allclose(covariance, np.linalg.inv(own[at, at]), atol=1e-6)


def test_a_small_effects_uncertainty_is_marginal():
    """Ten entities and an intercept explain the same things: what each is alone is less certain than it looks."""
    label, offset, fixed, categories, effects = make_problem(rows=2000, entities=(400, 10), dimensions=(1, 1))
    covariances = fixed_covariances(effects)
    found = fit(arrange(label, offset, fixed, categories, effects), covariances, EXACT)
    precision = dense_precision(fixed, categories, [one.value for one in covariances], effects, EXACT.penalty)
    _, curvature = penalised_newton(dense_design(fixed, categories, effects), label, offset, precision)
    marginal = np.diag(np.linalg.inv(curvature))[-10:]
    np.testing.assert_allclose(found.uncertainties[1].ravel(), marginal, rtol=1e-5)
    assert (marginal > 1.2 / np.diag(curvature)[-10:]).all()


def test_recovers_known_effects_and_variances():
    generator = np.random.default_rng(0)
    rows, truth = 60_000, [np.array([[0.6, 0.2], [0.2, 0.3]]), np.array([[0.4]])]
    effects, margin = [], np.full(rows, -0.7)
    for levels, covariance in zip((1500, 300), truth, strict=True):
        d = len(covariance)
        slopes = np.column_stack([np.ones(rows), generator.normal(size=(rows, d - 1))]).astype(np.float32)
        codes, u = generator.integers(0, levels, rows), generator.multivariate_normal(np.zeros(d), covariance, levels)
        margin += (slopes * u[codes]).sum(1)
        effects.append((Effect(codes.astype(np.int32), slopes, levels), u))
    number = generator.normal(size=rows)
    margin += 0.8 * number
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    fixed = np.column_stack([np.ones(rows), number])
    only = [one for one, _ in effects]
    found = fit(arrange(label, np.zeros(rows), fixed, [], only), estimated(only), Settings())
    assert found.converged
    assert found.fixed[1] == pytest.approx(0.8, abs=0.04)
    for covariance, (_, u), uncertainty, means in zip(
        found.covariances, effects, found.uncertainties, found.effects, strict=True
    ):
        sample = u.T @ u / len(u)
        np.testing.assert_allclose(covariance, sample, atol=0.06)
        z = (u - means) / np.sqrt(np.einsum("eaa->ea", uncertainty))  # standard errors are neither large nor small
        assert 0.93 < z.std() < 1.07


def test_pql_shrinks_variances_that_variational_recovers():
    """Ten binary rows an entity: the known weakness of quasi-likelihood (Breslow and Lin, 1995)."""
    generator = np.random.default_rng(2)
    levels, each = 3000, 10
    codes = np.repeat(np.arange(levels), each).astype(np.int32)
    margin = generator.normal(0, 1.2, levels)[codes]
    label = (generator.random(len(codes)) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    ones = np.ones((len(codes), 1))
    effects = [Effect(codes, ones.astype(np.float32), levels)]
    rows = arrange(label, np.zeros(len(codes)), ones, [], effects)
    variational, pql = (
        fit(rows, estimated(effects), Settings(variational=one)).covariances[0][0, 0] for one in (True, False)
    )
    assert variational == pytest.approx(1.44, rel=0.08)
    assert pql < 0.9 * variational


@few
@given(seed=st.integers(0, 10_000), variational=st.booleans())
def test_the_order_of_rows_and_the_names_of_entities_do_not_matter(seed, variational):
    label, offset, fixed, categories, effects = make_problem(rows=300, seed=seed)
    how = Settings(variational=variational, tolerance=1e-8, covariance_tolerance=1e-7, max_iterations=200)
    found = fit(arrange(label, offset, fixed, categories, effects), fixed_covariances(effects), how)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(label))
    names = [generator.permutation(one.levels) for one in effects]
    renamed = [
        Effect(
            np.where(one.entities < 0, -1, name[one.entities]).astype(np.int32)[order], one.slopes[order], one.levels
        )
        for one, name in zip(effects, names, strict=True)
    ]
    shuffled = [Category(one.codes[order], one.levels) for one in categories]
    again = fit(arrange(label[order], offset[order], fixed[order], shuffled, renamed), fixed_covariances(effects), how)
    np.testing.assert_allclose(again.fixed, found.fixed, atol=1e-5)
    for one, other, name in zip(found.effects, again.effects, names, strict=True):
        np.testing.assert_allclose(other[name], one, atol=1e-5)


@few
@given(seed=st.integers(0, 10_000), shift=st.floats(-3, 3))
def test_a_constant_in_the_offset_goes_to_the_intercept(seed, shift):
    label, offset, fixed, categories, effects = make_problem(rows=300, seed=seed)
    covariances = fixed_covariances(effects)
    found = fit(arrange(label, offset, fixed, categories, effects), covariances, EXACT)
    moved = fit(arrange(label, offset + np.float32(shift), fixed, categories, effects), covariances, EXACT)
    assert moved.fixed[0] == pytest.approx(found.fixed[0] - shift, abs=2e-3)  # the intercept's own tiny penalty
    np.testing.assert_allclose(coefficients(moved)[1:], coefficients(found)[1:], atol=2e-3)


@few
@given(seed=st.integers(0, 10_000))
def test_rows_twice_with_half_the_prior_are_the_rows_once(seed):
    """Doubling rows doubles the likelihood; doubling the priors' precision as well leaves the same maximum."""
    label, offset, fixed, categories, effects = make_problem(rows=200, seed=seed)
    once = fixed_covariances(effects)
    found = fit(arrange(label, offset, fixed, categories, effects), once, EXACT)
    half = [Covariance(one.value / 2, False, False) for one in once]
    twice = arrange(
        np.tile(label, 2),
        np.tile(offset, 2),
        np.tile(fixed, (2, 1)),
        [Category(np.tile(one.codes, 2), one.levels) for one in categories],
        [Effect(np.tile(one.entities, 2), np.tile(one.slopes, (2, 1)), one.levels) for one in effects],
    )
    again = fit(twice, half, Settings(variational=False, penalty=2 * EXACT.penalty, tolerance=1e-9))
    np.testing.assert_allclose(coefficients(again), coefficients(found), atol=2e-3)  # the intercept's tiny penalty


def test_the_number_of_threads_does_not_matter():
    problem = make_problem(rows=3000, entities=(200, 30))
    one, three = (fit(arrange(*problem), estimated(problem[-1]), Settings(), threads) for threads in (1, 3))
    np.testing.assert_allclose(coefficients(one), coefficients(three), atol=1e-6)


def test_diagonal_covariances_have_nothing_beside_the_diagonal():
    problem = make_problem(rows=3000, entities=(100, 30), dimensions=(3, 2))
    full, diagonal = (
        fit(arrange(*problem), estimated(problem[-1], diagonal), Settings()).covariances for diagonal in (False, True)
    )
    for one, other in zip(full, diagonal, strict=True):
        assert not (other - np.diag(np.diag(other))).any()
        assert (one - np.diag(np.diag(one))).any()


def outlier(problem):
    problem["fixed"][0, 1] = problem["effects"][0].slopes[0, 1] = 1e6


def constant_slope(problem):
    problem["effects"][0].slopes[:, 1] = 0


def collinear(problem):
    fixed = problem["fixed"]
    problem["fixed"] = np.column_stack([fixed, fixed[:, 1], 2 * fixed[:, 1]])


def entities_become(codes, levels):
    """Replace the entities of every effect."""

    def change(problem):
        problem["effects"] = [Effect(codes.astype(np.int32), one.slopes, levels) for one in problem["effects"]]

    return change


def two_rows(problem):
    problem["categories"] = [Category(one.codes[:2], one.levels) for one in problem["categories"]]
    problem["effects"] = [Effect(one.entities[:2], one.slopes[:2], one.levels) for one in problem["effects"]]
    problem.update({name: problem[name][:2] for name in ("label", "offset", "fixed")})


DEGENERATE = {
    "one class": lambda p: p.update(label=np.zeros(500, np.float32)),
    "separation": lambda p: p.update(label=(p["fixed"][:, 1] > 0).astype(np.float32)),
    "labels known by entity": lambda p: p.update(label=(p["effects"][0].entities % 2 == 0).astype(np.float32)),
    "collinear": collinear,
    "one row an entity": entities_become(np.arange(500), 500),
    "constant slope": constant_slope,
    "no entity known": entities_become(np.full(500, -1), 1),
    "one entity": entities_become(np.zeros(500), 1),
    "the same effect twice": lambda p: p.update(effects=[p["effects"][0], p["effects"][0]]),
    "two rows": two_rows,
    "an outlier": outlier,
    "huge offset": lambda p: p.update(offset=np.where(np.arange(500) % 2, 200, -200).astype(np.float32)),
}


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.filterwarnings("error")
def test_degenerate_data_end_in_a_sensible_model(name, variational):
    names = ("label", "offset", "fixed", "categories", "effects")
    problem = dict(zip(names, make_problem(rows=500, entities=(60, 8)), strict=True))
    DEGENERATE[name](problem)
    how = Settings(variational=variational, max_iterations=100)
    found = fit(arrange(*(problem[one] for one in names)), estimated(problem["effects"]), how)
    assert all(np.isfinite(one).all() for one in (coefficients(found), *found.covariances, *found.uncertainties))
    assert np.abs(coefficients(found)).max() < (400 if name == "huge offset" else 30)
    assert found.converged, found.history[-1]


@pytest.mark.parametrize("variational", [True, False])
def test_an_effect_that_does_not_exist_is_found_to_be_nothing(variational):
    _, offset, fixed, categories, effects = make_problem(rows=20_000, entities=(60, 8))
    label = np.random.default_rng(1).integers(0, 2, len(offset)).astype(np.float32)
    found = fit(
        arrange(label, 0 * offset, fixed, categories, effects), estimated(effects), Settings(variational=variational)
    )
    assert max(np.sqrt(np.diag(one)).max() for one in found.covariances) < 0.1


def test_stopping_early_is_said():
    problem = make_problem()
    found = fit(arrange(*problem), estimated(problem[-1]), Settings(max_iterations=2))
    assert not found.converged
    assert found.iterations == 2
