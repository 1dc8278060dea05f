"""Numbers and counts: what the component learns of them, says of them, and refuses."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.losses import averaged_margin, averaging, constant, first_intercept, predict
from proml_kedro.models.mixed.rows import sample
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

INPUTS = (Input("shop", "str"), Input("visit.hours", "float"), Input("visit.rain", "float"))
EFFECT = [{"entity": "shop"}]


def make_visits(task, rows=5000, shops=100, seed=0):
    """Shops that differ by a deviation of 0.6; hours are an exposure."""
    generator, truth = np.random.default_rng(seed), np.random.default_rng(5).normal(0, 0.6, shops)
    shop, hours = generator.integers(0, shops, rows), generator.uniform(0.5, 4, rows).astype(np.float32)
    rain = generator.normal(size=rows).astype(np.float32)
    margin = 0.4 + truth[shop] + 0.3 * rain
    if task == "count":
        label = generator.poisson(hours * np.exp(margin))
    else:
        label = 100 + 10 * (margin + generator.normal(0, 0.5, rows))
    columns = {"shop": np.array([f"s{one}" for one in shop], object), "visit.hours": hours, "visit.rain": rain}
    return Examples(columns, label.astype(np.float32))


def fitted(task, examples, final=True, **config):
    spec = MixedSpec.model_validate(
        {"kind": "mixed", "inputs": [one.name for one in INPUTS], "random_effects": EFFECT, **config}
    )
    component = Mixed(spec, INPUTS)
    context = FitContext(HardwareSpec(threads=1), 0, "model.components.m", final=final, task=task)
    component.fit(examples, examples.take(slice(0, 0)), context)
    return component


def test_numbers_are_learned_in_their_own_unit():
    component = fitted("regression", make_visits("regression"), fixed=["visit.rain"])
    facts, fresh = component.summary(), make_visits("regression", seed=1)
    assert facts["deviation of shop intercept"] == pytest.approx(6, rel=0.15)
    assert facts["residual deviation"] == pytest.approx(5, rel=0.03)
    said = component.score(fresh.columns)
    assert set(said) == set(component.spec.output_names("regression"))
    z = (fresh.label - said["mean"]) / np.sqrt(said["variance"])
    assert z.std() == pytest.approx(1, abs=0.03)


def test_counts_are_learned_for_their_exposure():
    component = fitted("count", make_visits("count"), fixed=["visit.rain"], exposure="visit.hours")
    assert component.summary()["deviation of shop intercept"] == pytest.approx(0.6, rel=0.15)
    fresh = make_visits("count", 40_000, seed=1)
    said = component.score(fresh.columns)
    assert said["mean"].mean() == pytest.approx(fresh.label.mean(), rel=0.02)
    assert ((fresh.label - said["mean"]) ** 2 / said["variance"]).mean() == pytest.approx(1, abs=0.05)
    twice = component.score({**fresh.columns, "visit.hours": 2 * fresh.columns["visit.hours"]})
    np.testing.assert_allclose(twice["mean"], 2 * said["mean"], rtol=1e-6)
    nowhere = component.score({**fresh.columns, "visit.hours": np.full(40_000, np.nan, np.float32)})
    np.testing.assert_allclose(nowhere["mean"], said["mean"] / fresh.columns["visit.hours"], rtol=1e-5)


def test_an_unknown_shop_has_the_mean_over_shops():
    component = fitted("count", make_visits("count"), exposure="visit.hours")
    fresh = make_visits("count", 40_000, shops=100, seed=1)
    nobody = {**fresh.columns, "shop": np.full(40_000, None, object)}
    said = component.score(nobody)
    assert said["mean"].mean() == pytest.approx(fresh.label.mean(), rel=0.1)  # of the log-normal, not of its mode
    assert (said["variance"] > 1.2 * said["mean"]).mean() > 0.9


@pytest.mark.parametrize("task", ["regression", "count"])
def test_weights_count_rows(task):
    examples = make_visits(task, 300, 12)
    times = np.random.default_rng(2).integers(0, 4, 300)
    weighted = fitted(task, replace(examples, weight=times.astype(np.float32)), fixed=["visit.rain"])
    repeated = fitted(task, examples.take(np.repeat(np.arange(300), times)), fixed=["visit.rain"])
    for name, values in weighted.score(examples.columns).items():
        np.testing.assert_allclose(values, repeated.score(examples.columns)[name], rtol=1e-3)


@pytest.mark.parametrize("task", ["regression", "count"])
def test_a_loaded_component_says_the_same(task, tmp_path):
    examples = make_visits(task, 500)
    component = fitted(task, examples)
    component.save(tmp_path)
    loaded = Mixed.load(component.spec, INPUTS, tmp_path)
    for name, values in component.score(examples.columns).items():
        np.testing.assert_array_equal(loaded.score(examples.columns)[name], values)


@pytest.mark.parametrize("task", ["regression", "count"])
def test_what_is_said_is_finite_whatever_comes(task):
    component = fitted(task, make_visits(task), random_effects=[{"entity": "shop", "features": ["visit.rain"]}])
    huge = np.array([1e30, -1e30, np.nan], np.float32)
    columns = {"shop": np.array(["s1", "nowhere", None], object), "visit.hours": huge, "visit.rain": huge}
    assert all(np.isfinite(values).all() for values in component.score(columns).values())


def test_rows_that_do_not_count_are_left_out_and_said(caplog):
    examples = make_visits("count", 400)
    examples.columns["visit.hours"][:3] = [0, np.nan, -1]
    examples.label[3] = np.nan
    weight = np.ones(400, np.float32)
    weight[4:6] = [0, np.nan]
    with caplog.at_level(logging.WARNING):
        component = fitted("count", replace(examples, weight=weight), exposure="visit.hours")
    assert "model.components.m: 6 of 400 examples have no label, or no positive weight or exposure" in caplog.text
    same = fitted("count", examples.take(slice(6, None)), exposure="visit.hours")
    fresh = make_visits("count", 50, seed=3).columns
    np.testing.assert_allclose(component.score(fresh)["mean"], same.score(fresh)["mean"], rtol=1e-9)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("binary", [0, 1, 2], "logistic needs labels between 0 and 1"),
        ("count", [0, 1, -2], "poisson needs labels that are not negative"),
        ("count", [np.nan] * 3, "no example has a label"),
    ],
)
def test_labels_of_another_sort_are_refused(task, labels, message):
    examples = make_visits("count", 3)
    with pytest.raises(UserError, match=f"model.components.m: .*{message}"):
        fitted(task, Examples(examples.columns, np.array(labels, np.float32)))


@pytest.mark.parametrize(
    ("task", "config", "key"),
    [
        ("binary", {"loss": "poisson"}, "loss"),
        ("count", {"loss": "logistic"}, "loss"),
        ("regression", {"exposure": "visit.hours"}, "exposure"),
    ],
)
def test_a_loss_of_another_task_is_a_mistake(task, config, key):
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": ["shop"], "random_effects": EFFECT, **config})
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": "t.csv"}},
            "examples": {"table": "t", "entities": ["shop"], "timestamp": "at"},
            "label": {"expression": "y", "task": task},
            "split": {"validation_from": "2024-01-01", "test_from": "2024-02-01"},
        }
    )
    assert [one.key for one in spec.check({"shop": "str", "visit.hours": "float"}, problem)] == [key]


def test_entities_with_few_rows_are_as_unknown():
    examples = make_visits("count", 3000)
    examples.columns["shop"][:3] = "rare"
    component = fitted("count", examples, random_effects=[{"entity": "shop", "min_rows": 4}])
    fresh = {name: values[:2].copy() for name, values in examples.columns.items()}
    fresh["shop"][:] = ["rare", None]
    fresh["visit.rain"][:] = 0
    said = component.score(fresh)
    assert said["mean"][0] == said["mean"][1]
    assert said["variance"][0] == said["variance"][1]


def test_an_entity_with_many_rows_is_sampled_and_the_sample_depends_on_the_seed_alone():
    codes = np.array([3] * 1000 + [7] * 5 + [-1] * 50)
    stays = sample(codes, 100, np.random.default_rng(1))
    assert stays[:1000].sum() == 100
    assert stays[1000:].all()
    np.testing.assert_array_equal(stays, sample(codes, 100, np.random.default_rng(1)))
    assert (stays != sample(codes, 100, np.random.default_rng(2))).any()
    kept = np.sum([sample(codes, 100, np.random.default_rng(seed))[:1000] for seed in range(300)], axis=0)
    assert abs(kept - 30).max() < 27  # of 300 draws each row stays in a tenth; 5 standard deviations
    bounded = fitted("count", make_visits("count"), random_effects=[{"entity": "shop", "max_rows": 9}])
    assert bounded._model.effects[0].rows.max() == 9


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_what_averaging_says_is_the_mean_over_a_normal_posterior(loss):
    eta, variance = np.array([-1.5, 0.2, 2.0]), np.array([0.1, 0.7, 1.5])
    draws = eta + np.sqrt(variance) * np.random.default_rng(0).normal(size=(400_000, 3))
    if loss == "poisson":
        expected = np.exp(draws).mean(0)
        np.testing.assert_allclose(averaging(loss, variance) * np.exp(eta), expected, rtol=0.02)
        said = predict(loss, eta, variance, 1.0)
        np.testing.assert_allclose(said["mean"], expected, rtol=0.02)
        np.testing.assert_allclose(said["variance"], expected + np.exp(draws).var(0), rtol=0.05)
    else:
        margin = predict(loss, eta, variance, 1.0)["margin"]
        expected = (1 / (1 + np.exp(-draws))).mean(0)
        np.testing.assert_allclose(1 / (1 + np.exp(-margin)), expected, atol=0.01)


@pytest.mark.parametrize(("variance", "accuracy"), [(0.1, 0.004), (1, 0.025), (2, 0.052), (4, 0.11)])
def test_the_mean_of_rare_events_is_that_over_a_normal_posterior(variance, accuracy):
    """By Gauss-Hermite quadrature; both tails, since what is certain is as hard as what is rare."""
    points, weights = np.polynomial.hermite_e.hermegauss(180)
    eta = np.linspace(-16, 16, 129)
    draws = eta[:, None] + np.sqrt(variance) * points
    expected = np.exp(-np.logaddexp(0, -draws)) @ (weights / weights.sum())
    margin = predict("logistic", eta, np.full(len(eta), variance), 1.0)["margin"]
    np.testing.assert_allclose(np.exp(-np.logaddexp(0, -margin)), expected, rtol=accuracy)
    np.testing.assert_array_equal(margin, -margin[::-1])


@pytest.mark.parametrize("variance", [0.01, 1, 30])
def test_the_averaged_margin_has_no_corners(variance):
    k = averaging("logistic", np.array([variance]))[0]
    grid = np.linspace(-60, 60, 200_001)
    value, slope = averaged_margin(grid, k)
    np.testing.assert_allclose(np.gradient(value, grid)[1:-1], slope[1:-1], atol=1e-3)
    assert (slope >= k).all()
    assert np.abs(np.diff(slope)).max() < 1e-3
    far = np.abs(grid) > 1.5 * variance / 2 / (1 - k)
    np.testing.assert_allclose(np.abs(value[far]), np.abs(grid[far]) - variance / 2, rtol=1e-9)


@pytest.mark.parametrize("loss", ["logistic", "linear", "poisson"])
def test_the_first_intercept_fits_the_mean(loss):
    generator = np.random.default_rng(0)
    label, offset = generator.integers(0, 2, 5000).astype(np.float32), generator.normal(0, 0.01, 5000)
    weight = generator.uniform(0.5, 2, 5000)
    eta = offset + first_intercept(loss, label, offset, weight)
    mean = {"logistic": 1 / (1 + np.exp(-eta)), "linear": eta, "poisson": np.exp(eta)}[loss]
    assert weight @ mean == pytest.approx(weight @ label, rel=1e-3)
    assert np.isfinite(first_intercept(loss, 0 * label, offset + 1e5, weight))


def test_constants_complete_the_likelihood():
    from scipy import stats

    y = np.array([0, 3, 7], np.float32)
    ones, eta = np.ones(3), np.array([0.1, 1.2, 1.9])
    poisson = (np.exp(eta) - y * eta).sum() + constant("poisson", y, ones, 1.0)
    assert poisson == pytest.approx(-stats.poisson.logpmf(y, np.exp(eta)).sum())
    linear = ((y - eta) ** 2 / 2 / 0.7).sum() + constant("linear", y, ones, 0.7)
    assert linear == pytest.approx(-stats.norm.logpdf(y, eta, 0.7**0.5).sum())
