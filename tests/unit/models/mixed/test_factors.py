"""Interactions of low rank: the passes against NumPy, what they recover, and what they leave alone."""

from functools import cache

import numpy as np
import pytest

from dense_mixed import arrange, derivatives, draw
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.losses import CODES, averaged_margin, averaging
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.interactions import Interaction
from proml_kedro.models.mixed.memory.kernels import interactions
from proml_kedro.models.mixed.memory.observations import FactorsTerm, RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

INPUTS = (Input("member", "str"), Input("job", "str"))
LEVELS = (7, 5, 3)


@pytest.fixture
def random():
    return np.random.default_rng(4)


@pytest.fixture
def interaction(random):
    codes = [random.integers(-1, count, 60) for count in LEVELS]
    found = Interaction.between(codes, LEVELS, rank=2, seed=1)
    found.variances[:] = random.uniform(0.1, 0.5, found.variances.shape)
    return found


def pairwise(one):
    """Mean and variance of each row, from every pair of fields."""
    t, v = one.table[one.codes], one.variances[one.codes]
    pairs = [(f, g) for f in range(t.shape[1]) for g in range(f)]
    mean = sum((t[:, f] * t[:, g]).sum(1) for f, g in pairs)
    rest = t.sum(1, keepdims=True) - t
    return mean, (v * rest**2).sum((1, 2)) + sum((v[:, f] * v[:, g]).sum(1) for f, g in pairs)


def test_moments(interaction):
    mean, variance = np.empty(60), np.empty(60)
    interactions.moments(0, 60, interaction.codes, interaction.table, interaction.variances, mean, variance)
    expected = pairwise(interaction)
    np.testing.assert_allclose(mean, expected[0], atol=1e-12)
    np.testing.assert_allclose(variance, expected[1], atol=1e-12)


def test_moments_are_those_of_normal_factors(interaction, random):
    t, v = interaction.table[interaction.codes[0]], interaction.variances[interaction.codes[0]]
    draws = t + np.sqrt(v) * random.normal(size=(400_000, *t.shape))
    products = (draws.sum(1) ** 2 - (draws**2).sum(1)).sum(1) / 2
    mean, variance = pairwise(interaction)
    assert products.mean() == pytest.approx(mean[0], abs=0.01)
    assert products.var() == pytest.approx(variance[0], rel=0.02)


@pytest.mark.parametrize("loss", CODES)
def test_update_field(interaction, random, loss):
    eta, spread, weight = random.normal(size=60), random.uniform(0, 1, 60), random.uniform(0.5, 2, 60)
    label = draw(random, loss, eta).astype(np.float32)
    precision, table, variances = np.array([2.0, 3.0]), interaction.table.copy(), interaction.variances.copy()
    mean, own = pairwise(interaction)
    k = averaging(loss, spread + own)
    margin = eta + mean
    if loss == "logistic":
        averaged, along = averaged_margin(margin, k)
        p = 1 / (1 + np.exp(-averaged))
        slope, curve = label - p, along * p * (1 - p)
    elif loss == "poisson":
        slope, curve = label - k * np.exp(margin), k * np.exp(margin)
    else:
        _, slope, curve = derivatives(loss, margin, label)
    one = interaction.fields[1]
    data = (one.start, one.starts, one.rows, interaction.codes, eta, spread, label, weight, CODES[loss], 0.8)
    interactions.update_field(0, one.levels, *data, precision, interaction.table, interaction.variances)
    for e in range(one.levels):
        rows, place = interaction.codes[:, 1] == one.start + e, one.start + e
        others = interaction.codes[rows][:, [0, 2]]
        q, v = table[others].sum(1), variances[others].sum(1)
        r, w = 0.8 * (weight * slope)[rows], 0.8 * (weight * curve)[rows]
        gradient = (r[:, None] * q - w[:, None] * v * table[place]).sum(0) - precision * table[place]
        information = q.T @ (w[:, None] * q) + np.diag((w[:, None] * v).sum(0) + precision)
        step = np.linalg.solve(information, gradient)
        step *= min(1, 4 / np.linalg.norm(step))
        np.testing.assert_allclose(interaction.table[place], table[place] + step, atol=1e-9)
        np.testing.assert_allclose(interaction.variances[place], np.diag(np.linalg.inv(information)), rtol=1e-9)


def ratings(loss, rows, strength, seed=0, members=150, jobs=60):
    """Members and jobs with effects of their own, and tastes of rank 2; the truth is the same for every seed."""
    truth, generator = np.random.default_rng(8), np.random.default_rng(seed)
    own = truth.normal(0, 0.5, members), truth.normal(0, 0.7, jobs)
    tastes = truth.normal(size=(members, 2)), truth.normal(size=(jobs, 2))
    member, job = generator.integers(0, members, rows), generator.integers(0, jobs, rows)
    taste = strength * (tastes[0][member] * tastes[1][job]).sum(1)
    margin = own[0][member] + own[1][job] + taste
    return [member.astype(np.int32), job.astype(np.int32)], taste, draw(generator, loss, margin).astype(np.float32)


def fitted(loss, strength, rank, rows=20_000, threads=1):
    codes, taste, label = ratings(loss, rows, strength)
    ones = np.ones((rows, 1), np.float32)
    effects = [RandomEffectTerm(one, ones, count) for one, count in zip(codes, (150, 60), strict=True)]
    data = arrange(label, np.zeros(rows), ones, [], effects, None, [FactorsTerm(codes, (150, 60), rank)])
    found = fit(data, [Covariance(0.2 * np.eye(1), True, False) for _ in effects], FitSettings(loss), threads)
    back = np.empty(rows)
    back[data.order] = found.interactions[0].mean
    return found, back, taste


@pytest.mark.parametrize("loss", CODES)
def test_tastes_are_recovered_and_superfluous_rank_is_given_up(loss):
    found, mean, taste = fitted(loss, 0.5, rank=5)
    assert found.converged
    assert np.corrcoef(mean, taste)[0, 1] > (0.8 if loss == "logistic" else 0.95)
    deviations = np.sqrt(found.interactions[0].prior)
    assert ((deviations > 0.2).sum(1) == 2).all()


@pytest.mark.parametrize("loss", CODES)
def test_where_there_are_no_tastes_none_are_found(loss):
    found, mean, _ = fitted(loss, 0.0, rank=4)
    assert np.std(mean) < 0.05
    assert found.covariances[1][0, 0] == pytest.approx(0.49, rel=0.35)


def test_the_number_of_threads_does_not_matter():
    one, three = (fitted("logistic", 0.5, 2, 5000, threads)[1] for threads in (1, 3))
    np.testing.assert_allclose(one, three, atol=1e-4)


def examples(loss, rows, seed):
    codes, _, label = ratings(loss, rows, 0.6, seed)
    names = [np.char.mod("%d", one).astype(object) for one in codes]
    return Examples(dict(zip(("member", "job"), names, strict=True)), label)


@cache
def component(factors, loss="logistic", task="binary"):
    effects = [{"entity": "member"}, {"entity": "job"}]
    effects += [{"kind": "factors", "entity": ["member", "job"], "rank": 3}] if factors else []
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": ["member", "job"], "random_effects": effects})
    found = Mixed(spec, INPUTS)
    train = examples(loss, 20_000, 0)
    found.fit(train, train.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0, task=task))
    return found


def test_on_ratings_they_are_better_than_effects_alone(tmp_path):
    fresh = examples("logistic", 5000, 1)
    losses = []
    for factors in (False, True):
        found = component(factors)
        margin = found.score(fresh.columns)["margin"]
        losses.append(np.mean(np.logaddexp(0, margin) - fresh.label * margin))
    assert losses[1] < losses[0] - 0.03
    found.save(tmp_path)
    again = Mixed.load(found.spec, INPUTS, tmp_path).score(fresh.columns)["margin"]
    np.testing.assert_array_equal(again, margin)
    assert isinstance(Mixed.load(found.spec, INPUTS, tmp_path)._model.factors[0].means.base, np.memmap)


def test_numbers_keep_their_unit():
    found = component(True, "linear", "regression")
    fresh = examples("linear", 5000, 1)
    said = found.score(fresh.columns)
    z = (fresh.label - said["mean"]) / np.sqrt(said["variance"])
    assert z.std() == pytest.approx(1, abs=0.05)
    assert found.summary()["residual deviation"] == pytest.approx(0.5, rel=0.03)


def test_a_job_that_nobody_knows_has_no_taste():
    found = component(True)
    columns = {"member": np.array(["1", "2"], object), "job": np.array(["new", None], object)}
    margin, variance = found._model.factors[0].moments(next(found._terms.factor_codes(columns))[0])
    np.testing.assert_array_equal(margin, 0)
    assert (variance > 0.05).all()
    assert np.isfinite(found.score(columns)["margin"]).all()
