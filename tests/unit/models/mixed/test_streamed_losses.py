"""Numbers, counts and weights streamed: the same as in memory, and finite whatever the data."""

import logging
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dense_mixed import draw
from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory import engine as memory_engine
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.streamed.problem import StreamedProblem
from proml_kedro.models.mixed.streamed.storage import partition
from proml_kedro.spec import HardwareSpec
from streamed_mixed import fit_streamed

INPUTS = (Input("shop", "str"), *(Input(f"visit.{name}", "float") for name in ("rain", "score", "hours")))
FEATURES = ["intercept", "visit.rain"]
TASKS = {"logistic": "binary", "linear": "regression", "poisson": "count"}
EXACT = {"tolerance": 1e-6, "mean_tolerance": 1e-6, "covariance_tolerance": 1e-6, "max_sweeps": 200}
FIXED = Covariance(np.array([[0.4, 0.1], [0.1, 0.2]]), False, False)
CASES = [(loss, weighted) for loss in TASKS for weighted in (False, True)]


def make_visits(loss, rows=6000, shops=300, weighted=True, seed=0):
    """Visits of shops with effects of their own, one of which has very many, and some of no known shop."""
    generator, truth = np.random.default_rng(seed), np.random.default_rng(5)
    u = truth.multivariate_normal([0, 0], FIXED.value, shops)
    shop = generator.integers(0, shops, rows)
    shop[: rows // 8] = 7
    nobody = generator.random(rows) < 0.05
    rain, score = generator.normal(size=(2, rows))
    hours = generator.uniform(0.5, 4, rows) if loss == "poisson" else np.ones(rows)
    own = (u[shop, 0] + u[shop, 1] * rain) * ~nobody
    label = draw(generator, loss, 0.3 + score + np.log(hours) + 0.4 * rain + own)
    columns = {
        "shop": np.array([None if none else f"s{one}" for one, none in zip(shop, nobody, strict=True)], object),
        "visit.rain": (3 + 2 * rain).astype(np.float32),
        "visit.score": score.astype(np.float32),
        "visit.hours": hours.astype(np.float32),
    }
    label = 100 + 10 * label if loss == "linear" else label
    weight = generator.uniform(0.3, 3, rows).astype(np.float32) if weighted else None
    order = generator.permutation(rows)
    if loss == "linear":
        columns["visit.score"] *= 10
    return Examples(columns, label.astype(np.float32), weight).take(order)


def spec_of(loss, **changes):
    exposure = {"exposure": "visit.hours"} if loss == "poisson" else {}
    config = {
        "kind": "mixed",
        "inputs": [one.name for one in INPUTS],
        "offset": "visit.score",
        "fixed": ["visit.rain"],
        "random_effects": [{"entity": "shop", "features": FEATURES}],
        "loss": loss,
        **exposure,
    }
    return MixedSpec.model_validate({**config, **changes})


def fitted(loss, examples, engine="streamed", previous=None, **changes):
    one = Mixed(spec_of(loss, engine=engine, **changes), INPUTS)
    context = FitContext(HardwareSpec(threads=1), 0, "model.components.m", task=TASKS[loss], previous=previous)
    one.fit(examples, examples.take(slice(0, 0)), context)
    return one


@cache
def plain_fit(loss, engine="streamed"):
    """The component on the visits that several tests look at; none of them changes it."""
    return fitted(loss, make_visits(loss), engine)


def streamed(loss, examples, covariance, folder, threads=1, **how):
    exposure = "visit.hours" if loss == "poisson" else None
    model = StreamedProblem(["shop"], FEATURES, ["visit.rain"], "visit.score", loss=loss, exposure=exposure)
    return fit_streamed(model, [examples], covariance, threads, folder, **{**EXACT, **how})


def exactly_in_memory(loss, examples, monkeypatch, **changes):
    """The component, fitted in memory until nothing moves at all."""
    how = {"tolerance": 1e-7, "covariance_tolerance": 1e-7}
    with monkeypatch.context() as patch:
        plain = memory_engine.settings_for
        patch.setattr(memory_engine, "settings_for", lambda *given, **more: replace(plain(*given, **more), **how))
        return fitted(loss, examples, "memory", max_iterations=500, **changes)


@pytest.mark.parametrize(
    ("loss", "weighted"), [one if one[1] else pytest.param(*one, marks=pytest.mark.slow) for one in CASES]
)
def test_equals_the_engine_in_memory(loss, weighted, tmp_path, monkeypatch):
    examples = make_visits(loss, weighted=weighted)
    unit = 1.0
    effect = {"entity": "shop", "features": FEATURES, "variance": [0.4, 0.2], "covariance": "diagonal"}
    if loss == "linear":
        unit = np.sqrt(np.cov(examples.label, aweights=examples.weight, ddof=0))
        effect["variance"] = [40.0, 20.0]
    other = exactly_in_memory(loss, examples, monkeypatch, random_effects=[effect])._model
    covariance = Covariance(np.diag(effect["variance"]) / unit**2, False, True)
    found = streamed(loss, examples, covariance, tmp_path / "fit")
    assert found.progress.converged
    size = float(unit)
    np.testing.assert_allclose(found.mean, other.fixed.numbers, atol=1e-4 * size)
    np.testing.assert_allclose(found.errors, other.fixed.errors, rtol=2e-3)
    assert found.dispersion == pytest.approx(other.dispersion, rel=1e-3)
    np.testing.assert_allclose(found.effects.means, other.effects[0].means, atol=1e-3 * size)
    # In memory the uncertainty of the fixed effects is added, which is of the order of one over the entities.
    np.testing.assert_allclose(found.effects.covariances, other.effects[0].covariances, atol=5e-3 * size**2)
    np.testing.assert_allclose(found.effects.rows, other.effects[0].rows, rtol=1e-5)


@pytest.mark.parametrize(("loss", "weighted"), CASES)
def test_estimates_the_same_variances(loss, weighted, tmp_path, monkeypatch):
    """But for the uncertainty of the fixed effects, which matters less the more entities there are."""
    examples = make_visits(loss, 45_000, 3000, weighted)
    other = exactly_in_memory(loss, examples, monkeypatch)._model
    found = streamed(loss, examples, Covariance(0.2 * np.eye(2), True, False), tmp_path / "fit")
    assert found.progress.converged
    population = other.effects[0].population
    np.testing.assert_allclose(found.covariance, population, atol=2e-3 * population.max())
    assert found.dispersion == pytest.approx(other.dispersion, rel=1e-3)


@pytest.mark.parametrize(("loss", "weighted"), CASES)
def test_the_component_says_what_the_one_in_memory_says(loss, weighted):
    examples, fresh = make_visits(loss, weighted=weighted), make_visits(loss, 400, 400, seed=2)
    engines = ("streamed", "memory")
    one, other = (plain_fit(loss, engine) if weighted else fitted(loss, examples, engine) for engine in engines)
    said, expected = one.score(fresh.columns), other.score(fresh.columns)
    assert set(said) == set(one.spec.output_names(TASKS[loss]))
    for name, values in expected.items():
        np.testing.assert_allclose(said[name], values, rtol=0.05, atol=0.05 * values.std())
    assert sum(one.importance().values()) == pytest.approx(1)
    for name, share in other.importance().items():
        assert one.importance().get(name, 0) == pytest.approx(share, abs=0.1)
    for name in set(one.summary()) & set(other.summary()) - {"iterations", "passes", "notes"}:
        assert one.summary()[name] == pytest.approx(other.summary()[name], rel=0.02), name


def test_counts_at_the_mode_of_the_effects_equal_those_in_memory(monkeypatch):
    examples = make_visits("poisson")
    one = fitted("poisson", examples, method="pql")._model
    other = exactly_in_memory("poisson", examples, monkeypatch, method="pql")._model
    np.testing.assert_allclose(one.effects[0].population, other.effects[0].population, atol=0.01)
    np.testing.assert_allclose(one.effects[0].means, other.effects[0].means, atol=0.03)


@pytest.mark.parametrize("loss", TASKS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_a_row_of_weight_two_is_two_rows(loss, seed, tmp_path_factory):
    examples = make_visits(loss, 1200, 60, weighted=False, seed=seed)
    times = np.random.default_rng(seed).integers(0, 4, len(examples))
    covariance = FIXED.value / (400 if loss == "linear" else 1)
    weighted, repeated = (
        streamed(loss, one, Covariance(covariance, False, False), tmp_path_factory.mktemp("fit") / "fit")
        for one in (
            replace(examples, weight=times.astype(np.float32)),
            examples.take(np.repeat(np.arange(len(examples)), times)),
        )
    )
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weighted.effects.means, repeated.effects.means, rtol=1e-3, atol=5e-3)
    np.testing.assert_allclose(weighted.effects.covariances, repeated.effects.covariances, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(weighted.effects.rows, repeated.effects.rows)
    assert weighted.dispersion == pytest.approx(repeated.dispersion, rel=1e-4)


@pytest.mark.parametrize("loss", ["linear", "poisson"])
def test_threads_change_nothing(loss, tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "_ROWS_A_PART", 500)
    start = 0.2 * np.eye(2)
    one, three = (
        streamed(loss, make_visits(loss), Covariance(start, True, False), tmp_path / str(threads), threads)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one.mean, three.mean)
    np.testing.assert_array_equal(one.effects.means, three.effects.means)
    assert one.dispersion == three.dispersion


@pytest.mark.parametrize("loss", TASKS)
def test_a_fit_that_goes_on_ends_as_if_it_had_never_stopped(loss, tmp_path):
    examples = make_visits(loss, weighted=loss == "linear")
    whole = streamed(loss, examples, Covariance(0.2 * np.eye(2), True, False), tmp_path / "whole")
    for sweeps in (2, 5, 200):
        covariance = Covariance(0.2 * np.eye(2), True, False)
        parts = streamed(loss, examples, covariance, tmp_path / "parts", max_sweeps=sweeps)
    assert parts.progress.history == whole.progress.history
    np.testing.assert_array_equal(parts.effects.means, whole.effects.means)
    assert parts.dispersion == whole.dispersion


@pytest.mark.parametrize(
    ("before", "after"), [("streamed", "streamed"), ("memory", "streamed"), ("streamed", "memory")]
)
@pytest.mark.parametrize("loss", TASKS)
def test_a_warm_start_leads_to_the_same_model_in_fewer_steps(loss, before, after, tmp_path):
    examples = make_visits(loss)
    earlier, cold = plain_fit(loss, before), plain_fit(loss, after)
    earlier.save(tmp_path)
    warm = fitted(loss, examples, after, Mixed.load(earlier.spec, INPUTS, tmp_path))
    for count in ("iterations", "passes"):
        assert warm.summary()[count] < (0.7 if after == "streamed" else 1) * cold.summary()[count]
    for name, values in cold.score(examples.columns).items():
        np.testing.assert_allclose(warm.score(examples.columns)[name], values, rtol=0.03, atol=0.03 * values.std())


def test_a_warm_start_knows_old_shops_and_learns_new_ones():
    earlier, after = plain_fit("logistic"), make_visits("logistic", 9000, 450, seed=3)
    warm, cold = fitted("logistic", after, previous=earlier), fitted("logistic", after)
    assert warm.summary()["entities"] == cold.summary()["entities"] > earlier.summary()["entities"]
    margins = [one.score(after.columns)["margin"] for one in (warm, cold)]
    np.testing.assert_allclose(*margins, atol=0.06)
    assert warm._terms.scales == earlier._terms.scales  # so that coefficients mean what they meant


def fill(values):
    values[:] = 4


def lack(values):
    values[:100] = np.nan


@pytest.mark.parametrize(
    ("engine", "spoil", "words"),
    [
        ("streamed", fill, "visit.rain is constant"),
        ("streamed", lack, "visit.rain is missing in some rows"),
        ("memory", fill, "visit.rain is constant"),
    ],
    ids=["streamed constant", "streamed missing", "constant in memory"],
)
@pytest.mark.filterwarnings("error")
def test_a_warm_start_says_of_numbers_what_is_so_now(engine, spoil, words, caplog):
    whole, spoilt = make_visits("logistic", 1000), make_visits("logistic", 1000)
    spoil(spoilt.columns["visit.rain"])
    with caplog.at_level(logging.WARNING):
        earlier = fitted("logistic", whole, engine)
        assert words not in caplog.text
        later = fitted("logistic", spoilt, engine, earlier)
        assert words in caplog.text
        caplog.clear()
        fitted("logistic", whole, engine, later)
    assert words not in caplog.text


def test_another_loss_starts_afresh_and_says_so(caplog):
    earlier = fitted("logistic", make_visits("logistic", 500))
    with caplog.at_level(logging.WARNING):
        fitted("linear", make_visits("linear", 500), previous=earlier)
    assert "starts afresh: the earlier bundle's loss is 'logistic'" in caplog.text


def test_a_variance_is_given_in_the_unit_of_the_label():
    examples = make_visits("linear")
    effect = [{"entity": "shop", "features": FEATURES, "variance": [40.0, 20.0], "covariance": "diagonal"}]
    one, other = (fitted("linear", examples, engine, random_effects=effect) for engine in ("streamed", "memory"))
    np.testing.assert_allclose(one._model.effects[0].population, np.diag([40.0, 20.0]), rtol=1e-9)
    np.testing.assert_allclose(one._model.effects[0].means, other._model.effects[0].means, atol=0.05)


@pytest.mark.parametrize("loss", TASKS)
def test_shops_with_few_rows_belong_to_the_population(loss, monkeypatch):
    examples = make_visits(loss, 4000, 300)
    effect = [{"entity": "shop", "features": FEATURES, "min_rows": 12}]
    one = fitted(loss, examples, random_effects=effect)
    other = exactly_in_memory(loss, examples, monkeypatch, random_effects=effect)
    assert 0 < len(one._model.effects[0]) < 250
    np.testing.assert_array_equal(one._terms.effect_levels[0].keys, other._terms.effect_levels[0].keys)
    size = examples.label.std() if loss == "linear" else 1
    np.testing.assert_allclose(one._model.fixed.numbers, other._model.fixed.numbers, atol=0.01 * size)
    np.testing.assert_allclose(one._model.effects[0].means, other._model.effects[0].means, atol=0.05 * size)
    assert one._model.dispersion == pytest.approx(other._model.dispersion, rel=0.01)


def test_of_shops_with_many_rows_a_sample_is_learned_from(caplog, monkeypatch):
    monkeypatch.setattr(partition, "_ROWS_A_PART", 1000)
    examples, effect = make_visits("logistic", weighted=False), [{"entity": "shop", "max_rows": 15}]
    with caplog.at_level(logging.INFO):
        one, again = (fitted("logistic", examples, fixed=[], random_effects=effect) for _ in range(2))
    names, counts = np.unique([name for name in examples.columns["shop"] if name is not None], return_counts=True)
    np.testing.assert_array_equal(one._model.effects[0].rows, np.minimum(counts, 15))
    assert f"{np.maximum(counts - 15, 0).sum():,} rows are left out by max_rows" in caplog.text
    np.testing.assert_array_equal(one._model.effects[0].means, again._model.effects[0].means)
    assert list(names) == [key.decode() for key in one._terms.effect_levels[0].keys]


def test_rows_that_do_not_count_are_left_out_and_said(caplog):
    examples = make_visits("poisson", 4000)
    examples.columns["visit.hours"][:3] = [0, np.nan, -1]
    examples.label[3] = np.nan
    examples.weight[4:6] = [0, np.nan]
    with caplog.at_level(logging.WARNING):
        one = fitted("poisson", examples)
    assert (
        "model.components.m: 6 of 4,000 examples have no label, or no positive weight or exposure, and are left out"
        in caplog.text
    )
    same, fresh = fitted("poisson", examples.take(slice(6, None))), make_visits("poisson", 50, seed=3).columns
    np.testing.assert_allclose(one.score(fresh)["mean"], same.score(fresh)["mean"], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        ("poisson", [0, 1, -2], "poisson needs labels that are not negative"),
        ("poisson", [np.nan], "no example has a label"),
        ("logistic", [0, 0.5], "'streamed' works where every label is 0 or 1"),
    ],
)
def test_labels_of_another_sort_are_refused(loss, labels, message):
    examples = make_visits(loss, 300)
    examples.label[:] = np.resize(np.array(labels, np.float32), 300)
    with pytest.raises(UserError, match=message):
        fitted(loss, examples)


DEGENERATE = {
    "all labels zero": lambda columns, label: label.fill(0),
    "all labels equal": lambda columns, label: label.fill(5),
    "constant slope": lambda columns, label: columns["visit.rain"].fill(4),
    "no shop known": lambda columns, label: columns["shop"].fill(None),
    "one shop": lambda columns, label: columns["shop"].fill("only"),
    "a row each": lambda columns, label: np.copyto(
        columns["shop"], np.arange(len(label)).astype(str).astype(object)
    ),
    "an outlier": lambda columns, label: columns["visit.rain"].__setitem__(0, 1e6),
    "nothing but missing": lambda columns, label: columns["visit.rain"].fill(np.nan),
    "huge labels": lambda columns, label: label.__setitem__(slice(0, None, 7), 1e9),
    "one huge label": lambda columns, label: label.__setitem__(0, 1e8),
    "huge offsets": lambda columns, label: columns["visit.score"].__setitem__(slice(0, None, 2), 200),
    "nothing left": lambda columns, label: np.copyto(label, columns["visit.score"]),
    "labels known by shop": lambda columns, label: np.copyto(
        label, np.array([sum(map(ord, one or "")) % 3 for one in columns["shop"].tolist()], np.float32)
    ),
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("loss", ["linear", "poisson"])
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.filterwarnings("error")
def test_degenerate_data_end_in_a_sensible_model(name, loss, weighted):
    examples = make_visits(loss, 700, 60, weighted)
    DEGENERATE[name](examples.columns, examples.label)
    if loss == "poisson":
        np.abs(examples.label, out=examples.label)
    one = fitted(loss, examples, max_iterations=100)
    model = one._model
    for values in (
        model.fixed.numbers,
        model.fixed.errors,
        model.effects[0].means,
        model.effects[0].covariances,
        model.dispersion,
    ):
        assert np.isfinite(values).all()
    assert all(np.isfinite(values).all() for values in one.score(examples.columns).values())
    assert one.summary()["converged"]
    assert 0 < np.diag(model.effects[0].population).max() <= 101 * max(1, examples.label.var(dtype=np.float64))


def test_no_residual_variance_is_found_to_be_none():
    examples = make_visits("linear", 3000, 60, weighted=False)
    shop = np.array([sum(map(ord, one or "")) % 3 for one in examples.columns["shop"].tolist()])
    exact = replace(examples, label=(examples.columns["visit.score"] + 5 + 2 * shop).astype(np.float32))
    one = fitted("linear", exact, max_iterations=200)
    assert one.summary()["residual deviation"] < 0.02 * exact.label.std()
    known = np.array([name is not None for name in exact.columns["shop"]])
    np.testing.assert_allclose(one.score(exact.columns)["mean"][known], exact.label[known], atol=0.1)


def test_an_exposure_that_is_the_same_for_all_has_no_share():
    examples = make_visits("poisson", 2000)
    examples.columns["visit.hours"][:] = 1
    shares = fitted("poisson", examples, offset=None).importance()
    assert shares["visit.hours"] == 0
    assert shares["shop"] > 0.2


def test_a_number_that_is_offset_and_feature_has_the_share_of_both():
    examples = make_visits("logistic", 6000)
    effect = {"entity": "shop", "features": ["intercept", "visit.score"], "variance": [0.4, 4.0]}
    effect["covariance"] = "diagonal"
    streamed, memory = (
        fitted("logistic", examples, engine, fixed=[], random_effects=[effect]).importance()
        for engine in ("streamed", "memory")
    )
    for name, share in memory.items():
        assert streamed.get(name, 0.0) == pytest.approx(share, abs=0.05)
