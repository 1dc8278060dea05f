"""The engine against a direct solution, known truths, and the transformations that must not matter."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dense_mixed import arrange, dense_design, dense_precision, draw, elastic_net, make_problem, penalised_newton
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.losses import CODES
from proml_kedro.models.mixed.memory import design, probes
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.observations import CategoryTerm, RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.spec import Method

METHODS = get_args(Method)
EXACT = FitSettings(method="pql", penalty=0.7, tolerance=1e-9)
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


@pytest.mark.parametrize("loss", CODES)
@pytest.mark.parametrize(("entities", "dimensions"), SHAPES, ids=str)
@pytest.mark.parametrize("most_dense", [0, 512])
def test_equals_a_direct_dense_solution(entities, dimensions, most_dense, loss, monkeypatch):
    monkeypatch.setattr(design, "MOST_DENSE", most_dense)
    problem = make_problem(entities=entities, dimensions=dimensions, loss=loss)
    label, offset, fixed, categories, effects = problem
    weight = np.random.default_rng(4).uniform(0.5, 2, len(label)).astype(np.float32)
    covariances = fixed_covariances(effects)
    found = fit(arrange(*problem, weight), covariances, replace(EXACT, loss=loss))
    phi = found.dispersion
    precision = dense_precision(fixed, categories, [one.value for one in covariances], effects, EXACT.penalty)
    columns = dense_design(fixed, categories, effects)
    expected, curvature = penalised_newton(columns, label, offset, phi * precision, loss, weight)
    assert found.converged
    np.testing.assert_allclose(coefficients(found), expected, atol=1e-6)
    if most_dense:  # then nothing is left to an approximation
        inverse = np.linalg.inv(curvature / phi)
        start = len(expected) - sum(one.levels * one.dimension for one in effects)
        for uncertainty in found.uncertainties:
            levels, d, _ = uncertainty.shape
            for level in range(levels):
                at = slice(start + level * d, start + (level + 1) * d)
                np.testing.assert_allclose(uncertainty[level], inverse[at, at], rtol=1e-4, atol=1e-7)
            start += levels * d
        if loss == "linear":  # restricted maximum likelihood: residuals for each degree of freedom that is left
            residual = label - offset - columns @ coefficients(found)
            free = weight.sum() - np.trace(inverse @ (curvature / phi - precision))
            assert phi == pytest.approx(weight @ residual**2 / free, rel=1e-4)


@pytest.mark.parametrize(("loss", "l1"), [("logistic", 4.0), ("poisson", 40.0)])
@pytest.mark.parametrize("most_dense", [0, 512])
def test_the_elastic_net_equals_proximal_gradient_descent(loss, l1, most_dense, monkeypatch):
    monkeypatch.setattr(design, "MOST_DENSE", most_dense)
    problem = make_problem(rows=250, numbers=8, loss=loss)
    problem[2][:, 4:] = np.random.default_rng(9).normal(size=(250, 5))  # what says nothing
    label, offset, fixed, categories, effects = problem
    covariances = fixed_covariances(effects)
    found = fit(arrange(*problem), covariances, replace(EXACT, loss=loss, l1=l1))
    precision = dense_precision(fixed, categories, [one.value for one in covariances], effects, EXACT.penalty)
    rates = np.zeros(len(precision))
    rates[1 : fixed.shape[1] + categories[0].levels] = l1
    expected = elastic_net(dense_design(fixed, categories, effects), label, offset, precision, rates, loss)
    assert found.converged
    np.testing.assert_allclose(coefficients(found), expected, atol=1e-5)
    zero = coefficients(found)[rates > 0] == 0
    assert zero.any()
    assert not zero.all()
    errors = np.concatenate([found.fixed_errors, *found.category_errors])
    np.testing.assert_array_equal(errors[1:] == 0, zero)


def test_levels_that_are_held_at_zero_cost_no_rows_of_the_residual_variance(monkeypatch):
    """Whether they are solved for densely or one by one."""
    problem = make_problem(rows=250, entities=(23,), dimensions=(1,), loss="linear")
    found = []
    for most_dense in (0, 512):
        monkeypatch.setattr(design, "MOST_DENSE", most_dense)
        found.append(fit(arrange(*problem), fixed_covariances(problem[-1]), replace(EXACT, loss="linear", l1=1e4)))
    assert not any(one.categories[0].any() or one.category_errors[0].any() for one in found)
    assert found[0].dispersion == pytest.approx(found[1].dispersion, rel=1e-6)


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
        effects.append((RandomEffectTerm(codes.astype(np.int32), slopes, levels), u))
    number = generator.normal(size=rows)
    margin += 0.8 * number
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    fixed = np.column_stack([np.ones(rows), number])
    only = [one for one, _ in effects]
    found = fit(arrange(label, np.zeros(rows), fixed, [], only), estimated(only), FitSettings())
    assert found.converged
    assert found.fixed[1] == pytest.approx(0.8, abs=0.04)
    for covariance, (_, u), uncertainty, means in zip(
        found.covariances, effects, found.uncertainties, found.effects, strict=True
    ):
        sample = u.T @ u / len(u)
        np.testing.assert_allclose(covariance, sample, atol=0.06)
        z = (u - means) / np.sqrt(np.einsum("eaa->ea", uncertainty))  # standard errors are neither large nor small
        assert 0.93 < z.std() < 1.07


@pytest.mark.parametrize("loss", ["linear", "poisson"])
def test_recovers_known_effects_of_other_losses(loss):
    generator = np.random.default_rng(1)
    rows, deviations, phi = 40_000, (0.5, 0.8), 0.25
    margin, effects = 0.3 + np.zeros(rows), []
    for levels, deviation in zip((2000, 100), deviations, strict=True):
        codes, u = generator.integers(0, levels, rows).astype(np.int32), generator.normal(0, deviation, levels)
        margin += u[codes]
        effects.append((RandomEffectTerm(codes, np.ones((rows, 1), np.float32), levels), u))
    label, ones = draw(generator, loss, margin), np.ones((rows, 1))
    only = [one for one, _ in effects]
    found = fit(arrange(label, np.zeros(rows), ones, [], only), estimated(only), FitSettings(loss))
    assert found.converged
    assert loss == "poisson" or found.dispersion == pytest.approx(phi, rel=0.03)
    for covariance, (_, u), uncertainty, means in zip(
        found.covariances, effects, found.uncertainties, found.effects, strict=True
    ):
        assert covariance[0, 0] == pytest.approx(u.var(), rel=0.05)
        centred = u - u.mean() - (means[:, 0] - means.mean())  # the mean of few entities is the intercept's
        assert 0.93 < np.std(centred / np.sqrt(uncertainty[:, 0, 0])) < 1.07 or len(u) < 1000


def test_pql_shrinks_variances_that_variational_recovers():
    """Ten binary rows an entity: the known weakness of quasi-likelihood (Breslow and Lin, 1995)."""
    generator = np.random.default_rng(2)
    levels, each = 3000, 10
    codes = np.repeat(np.arange(levels), each).astype(np.int32)
    margin = generator.normal(0, 1.2, levels)[codes]
    label = (generator.random(len(codes)) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    ones = np.ones((len(codes), 1))
    effects = [RandomEffectTerm(codes, ones.astype(np.float32), levels)]
    rows = arrange(label, np.zeros(len(codes)), ones, [], effects)
    variational, pql = (
        fit(rows, estimated(effects), FitSettings(method=one)).covariances[0][0, 0] for one in ("variational", "pql")
    )
    assert variational == pytest.approx(1.44, rel=0.08)
    assert pql < 0.9 * variational


losses = st.sampled_from(sorted(CODES))
seeds = st.integers(0, 10_000)


@few
@given(seed=seeds, loss=losses, method=st.sampled_from(METHODS))
def test_the_order_of_rows_and_the_names_of_entities_do_not_matter(seed, loss, method):
    label, offset, fixed, categories, effects = make_problem(rows=300, seed=seed, loss=loss)
    weight = np.random.default_rng(seed + 1).uniform(0.5, 2, len(label))
    how = FitSettings(loss, method, tolerance=1e-8, covariance_tolerance=1e-7, max_iterations=200)
    found = fit(arrange(label, offset, fixed, categories, effects, weight), fixed_covariances(effects), how)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(label))
    names = [generator.permutation(one.levels) for one in effects]
    renamed = [
        RandomEffectTerm(
            np.where(one.entities < 0, -1, name[one.entities]).astype(np.int32)[order], one.slopes[order], one.levels
        )
        for one, name in zip(effects, names, strict=True)
    ]
    shuffled = [CategoryTerm(one.codes[order], one.levels) for one in categories]
    rows = arrange(label[order], offset[order], fixed[order], shuffled, renamed, weight[order])
    again = fit(rows, fixed_covariances(effects), how)
    np.testing.assert_allclose(again.fixed, found.fixed, atol=1e-5)
    assert again.dispersion == pytest.approx(found.dispersion, rel=1e-5)
    for one, other, name in zip(found.effects, again.effects, names, strict=True):
        np.testing.assert_allclose(other[name], one, atol=1e-5)


@few
@given(seed=seeds, loss=losses, shift=st.floats(-3, 3))
def test_a_constant_in_the_offset_goes_to_the_intercept(seed, loss, shift):
    label, offset, fixed, categories, effects = make_problem(rows=300, seed=seed, loss=loss)
    covariances, how = fixed_covariances(effects), replace(EXACT, loss=loss)
    found = fit(arrange(label, offset, fixed, categories, effects), covariances, how)
    moved = fit(arrange(label, offset + np.float32(shift), fixed, categories, effects), covariances, how)
    assert moved.fixed[0] == pytest.approx(found.fixed[0] - shift, abs=2e-3)  # the intercept's own tiny penalty
    np.testing.assert_allclose(coefficients(moved)[1:], coefficients(found)[1:], atol=2e-3)


@few
@given(seed=seeds, loss=losses, parts=st.lists(st.floats(0.1, 3), min_size=2, max_size=3))
def test_a_row_may_be_split_into_rows_that_share_its_weight(seed, loss, parts):
    label, offset, fixed, categories, effects = make_problem(rows=200, seed=seed, loss=loss)
    how = FitSettings(loss, tolerance=1e-8, covariance_tolerance=1e-7, max_iterations=300)
    whole = arrange(label, offset, fixed, categories, effects, np.full(len(label), sum(parts)))
    found, times = fit(whole, fixed_covariances(effects), how), len(parts)
    split = arrange(
        np.tile(label, times),
        np.tile(offset, times),
        np.tile(fixed, (times, 1)),
        [CategoryTerm(np.tile(one.codes, times), one.levels) for one in categories],
        [
            RandomEffectTerm(np.tile(one.entities, times), np.tile(one.slopes, (times, 1)), one.levels)
            for one in effects
        ],
        np.repeat(parts, len(label)),
    )
    again = fit(split, fixed_covariances(effects), how)
    np.testing.assert_allclose(coefficients(again), coefficients(found), atol=1e-4)
    assert again.dispersion == pytest.approx(found.dispersion, rel=1e-4)


@few
@given(seed=seeds, loss=st.sampled_from(["logistic", "poisson"]))
def test_twice_the_weight_with_twice_the_prior_is_the_same(seed, loss):
    """Doubling the likelihood and the priors' precision leaves the maximum where it is."""
    problem = make_problem(rows=200, seed=seed, loss=loss)
    once, how = fixed_covariances(problem[-1]), replace(EXACT, loss=loss)
    found = fit(arrange(*problem), once, how)
    half = [Covariance(one.value / 2, False, False) for one in once]
    doubled = arrange(*problem, np.full(len(problem[0]), 2.0))
    again = fit(doubled, half, replace(how, penalty=2 * how.penalty))
    np.testing.assert_allclose(coefficients(again), coefficients(found), atol=2e-3)  # the intercept's tiny penalty


def test_the_number_of_threads_does_not_matter():
    problem = make_problem(rows=3000, entities=(200, 30))
    one, three = (fit(arrange(*problem), estimated(problem[-1]), FitSettings(), threads) for threads in (1, 3))
    np.testing.assert_allclose(coefficients(one), coefficients(three), atol=1e-6)


def test_diagonal_covariances_have_nothing_beside_the_diagonal():
    problem = make_problem(rows=3000, entities=(100, 30), dimensions=(3, 2))
    full, diagonal = (
        fit(arrange(*problem), estimated(problem[-1], diagonal), FitSettings()).covariances
        for diagonal in (False, True)
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
        problem["effects"] = [
            RandomEffectTerm(codes.astype(np.int32), one.slopes, levels) for one in problem["effects"]
        ]

    return change


def two_rows(problem):
    problem["categories"] = [CategoryTerm(one.codes[:2], one.levels) for one in problem["categories"]]
    problem["effects"] = [RandomEffectTerm(one.entities[:2], one.slopes[:2], one.levels) for one in problem["effects"]]
    problem.update({name: problem[name][:2] for name in ("label", "offset", "fixed")})


def rough(p, change):
    p["label"] = np.asarray(change(p["label"].astype(np.float64)), np.float32)


ANY_LOSS = {
    "constant": lambda p: rough(p, np.zeros_like),
    "collinear": collinear,
    "one row an entity": entities_become(np.arange(500), 500),
    "constant slope": constant_slope,
    "no entity known": entities_become(np.full(500, -1), 1),
    "one entity": entities_become(np.zeros(500), 1),
    "the same effect twice": lambda p: p.update(effects=[p["effects"][0], p["effects"][0]]),
    "two rows": two_rows,
    "an outlier": outlier,
    "known by entity": lambda p: rough(p, lambda y: 1.0 * (p["effects"][0].entities % 2 == 0)),
}
OTHER_LOSSES = {
    **{(loss, name): change for loss in ("linear", "poisson") for name, change in ANY_LOSS.items()},
    ("poisson", "huge counts"): lambda p: rough(p, lambda y: y * 1e9),
    ("poisson", "one huge count"): lambda p: p["label"].__setitem__(7, 1e12),
    ("poisson", "huge exposures"): lambda p: p.update(offset=p["offset"] + 25),
    ("poisson", "tiny exposures"): lambda p: p.update(offset=p["offset"] - 25),
    ("linear", "one huge number"): lambda p: p["label"].__setitem__(7, 1e4),
    ("linear", "no residual"): lambda p: rough(p, lambda y: p["fixed"][:, 1]),
}


NEVER_DONE = {("poisson", "one huge count"), ("linear", "one row an entity")}


@pytest.mark.parametrize(
    ("loss", "name", "method"),
    [(*one, method) for one in OTHER_LOSSES for method in (METHODS if one[0] == "poisson" else METHODS[:1])],
)
@pytest.mark.filterwarnings("error")
def test_degenerate_data_of_other_losses_end_in_a_sensible_model(loss, name, method):
    names = ("label", "offset", "fixed", "categories", "effects")
    problem = dict(zip(names, make_problem(rows=500, entities=(60, 8), loss=loss), strict=True))
    OTHER_LOSSES[loss, name](problem)
    how = FitSettings(loss, method, max_iterations=100)
    found = fit(arrange(*(problem[one] for one in names)), estimated(problem["effects"]), how)
    assert all(np.isfinite(one).all() for one in (coefficients(found), *found.covariances, *found.uncertainties))
    assert np.abs(coefficients(found)).max() < (1e4 if name == "one huge number" else 60)
    # With one row for each entity an effect cannot be told from a residual: any split is as likely.
    assert found.converged or (loss, name) in NEVER_DONE, found.history[-1]


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


def is_costly(name, method):
    """Tell whether a case takes ten seconds: a dense system of 500 effects, solved at each step."""
    return name == "one row an entity" and method != "variational"


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(name, method, marks=[pytest.mark.slow] * is_costly(name, method))
        for name in DEGENERATE
        for method in METHODS
    ],
)
@pytest.mark.filterwarnings("error")
def test_degenerate_data_end_in_a_sensible_model(name, method):
    names = ("label", "offset", "fixed", "categories", "effects")
    problem = dict(zip(names, make_problem(rows=500, entities=(60, 8)), strict=True))
    DEGENERATE[name](problem)
    how = FitSettings(method=method, max_iterations=100)
    found = fit(arrange(*(problem[one] for one in names)), estimated(problem["effects"]), how)
    assert all(np.isfinite(one).all() for one in (coefficients(found), *found.covariances, *found.uncertainties))
    assert np.abs(coefficients(found)).max() < (400 if name == "huge offset" else 30)
    assert found.converged, found.history[-1]


@pytest.mark.parametrize("method", METHODS)
def test_an_effect_that_does_not_exist_is_found_to_be_nothing(method):
    _, offset, fixed, categories, effects = make_problem(rows=20_000, entities=(60, 8))
    label = np.random.default_rng(1).integers(0, 2, len(offset)).astype(np.float32)
    found = fit(arrange(label, 0 * offset, fixed, categories, effects), estimated(effects), FitSettings(method=method))
    assert max(np.sqrt(np.diag(one)).max() for one in found.covariances) < 0.1


def test_stopping_early_is_said():
    problem = make_problem()
    found = fit(arrange(*problem), estimated(problem[-1]), FitSettings(max_iterations=2))
    assert not found.converged
    assert found.iterations == 2


CROSSED = (
    ("linear", "pql"),
    ("logistic", "pql"),
    ("logistic", "laplace"),
    ("logistic", "variational"),
    ("poisson", "laplace"),
)


@pytest.mark.slow
def test_what_chance_moves_is_said_beyond_the_dense_part(monkeypatch):
    """By the spread of nested deviations over ten draws of random right sides."""
    generator = np.random.default_rng(0)
    label, effects = generator.normal(size=6000), []
    child = generator.integers(0, 600, 6000).astype(np.int32)
    for levels, deviation, codes in ((600, 0.8, child), (300, 0.5, child % 300)):
        label = label + generator.normal(0, deviation, levels)[codes]
        effects.append(RandomEffectTerm(codes, np.ones((6000, 1), np.float32), levels))
    arranged = label.astype(np.float32), np.zeros(6000), np.ones((6000, 1), np.float32), [], effects
    monkeypatch.setattr(design, "MOST_DENSE", 100)
    found = []
    for seed in range(10):
        monkeypatch.setattr(probes, "SEED", seed)
        found.append(fit(arrange(*arranged), estimated(effects), FitSettings("linear", "pql", penalty=0)))
    deviations = np.sqrt([[one[0, 0] for one in each.covariances] for each in found])
    spread = (deviations.std(axis=0, ddof=1) / deviations.mean(axis=0)).max()
    assert 0.5 * spread < np.mean([one.by_chance for one in found]) < 2 * spread


@pytest.mark.parametrize(("loss", "method"), CROSSED)
def test_beyond_the_dense_part_deviations_and_errors_are_the_same(loss, method, monkeypatch):
    """Of nested effects, with 300 columns where 100 may be dense, beside the same fit with all of them."""
    generator = np.random.default_rng(0)
    rows, effects = 6000, []
    numbers = np.column_stack([np.ones(rows), generator.normal(size=rows)]).astype(np.float32)
    margin = numbers @ [-0.3, 0.4]
    child = generator.integers(0, 600, rows).astype(np.int32)
    for levels, deviation, codes in ((600, 0.8, child), (300, 0.5, child % 300)):
        margin = margin + generator.normal(0, deviation, levels)[codes]
        effects.append(RandomEffectTerm(codes, np.ones((rows, 1), np.float32), levels))
    of_level = generator.normal(size=300)[effects[1].entities].astype(np.float32)  # known by the second effect alone
    problem = draw(generator, loss, margin).astype(np.float32), np.zeros(rows), np.column_stack([numbers, of_level])
    found = []
    for most in (2_048, 100):
        monkeypatch.setattr(design, "MOST_DENSE", most)
        found.append(fit(arrange(*problem, [], effects), estimated(effects), FitSettings(loss, method, penalty=0)))
    exact, beyond = found
    assert beyond.converged
    deviations = [np.sqrt([one[0, 0] for one in each.covariances]) for each in found]
    averaged = method != "pql"  # over variances of rows that take levels as independent
    np.testing.assert_allclose(deviations[1], deviations[0], rtol=0.08 if averaged else 0.03)
    np.testing.assert_allclose(beyond.fixed_errors, exact.fixed_errors, rtol=0.025)
    assert (np.abs(beyond.fixed - exact.fixed) < (0.6 if averaged else 0.01) * exact.fixed_errors).all()
    assert exact.by_chance is None
    assert 0 < beyond.by_chance < 0.04
    assert np.isnan(beyond.log_likelihood)  # rather none than a wrong one
