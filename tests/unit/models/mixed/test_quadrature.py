"""``nagq`` and the variational bound: beside integrals by brute force, and beside lme4's nAGQ = 25."""

import json
import subprocess

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit, gammaln, logsumexp, xlogy

from mixed_fits import fitted
from proml_kedro.models.mixed.spec import MixedSpec

EFFECT = [{"entity": "g"}]
ENTITIES = 30
ALL = {"method": "laplace", "nagq": 25}


def draw(loss="logistic", seed=0, deviation=1.5, rows=150):
    generator = np.random.default_rng(seed)
    g, x = generator.integers(0, ENTITIES, rows), generator.normal(size=rows).astype(np.float32)
    margin = -0.3 + 0.5 * x + generator.normal(0, deviation, ENTITIES)[g]
    label = generator.random(rows) < expit(margin) if loss == "logistic" else generator.poisson(np.exp(margin))
    return {"x": x, "g": np.array([f"g{one:02d}" for one in g], object)}, label.astype(np.float32)


def log_density(loss, eta, label):
    if loss == "logistic":
        return label * eta - np.logaddexp(0, eta)
    return label * eta - np.exp(eta) - gammaln(label + 1)


def margins(component, columns):
    """What the fixed effects say, from the coefficients in raw units."""
    known = {one.name: one.per_unit for one in component.fixed_effects()}
    return known["intercept"] + known["x"] * columns["x"].astype(float)


def brute_force(loss, eta, z, label, codes, deviation):
    """Sum of the logarithms of the integrals, and posterior means and variances of the effects."""
    total, moments, grid = 0.0, [], np.linspace(-12, 12, 4_001) * deviation
    for code in np.unique(codes):
        mine = codes == code
        rows = eta[mine, None] + z[mine, None] * grid
        joint = log_density(loss, rows, label[mine, None]).sum(0) - grid**2 / deviation**2 / 2
        total += logsumexp(joint) + np.log(24 / 4_000) - np.log(2 * np.pi) / 2
        share = np.exp(joint - logsumexp(joint))
        moments.append((share @ grid, share @ grid**2 - (share @ grid) ** 2))
    return total, np.array(moments)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_likelihood_and_effects_are_the_integrals(loss):
    columns, label = draw(loss)
    component = fitted(columns, label, loss, fixed=["x"], random_effects=EFFECT, **ALL)
    facts, (of_effect,) = component.summary(), component.population()
    assert facts["converged"]
    assert facts["log likelihood is"] == "quadrature of 25 points"
    eta, codes = margins(component, columns), columns["g"]
    expected, moments = brute_force(loss, eta, np.ones(len(eta)), label, codes, of_effect.deviation)
    assert facts["log likelihood"] == pytest.approx(expected, abs=2e-3)
    effects = [component.effects_of({"g": name})[0] for name in np.unique(codes)]
    np.testing.assert_allclose([one.value for one in effects], moments[:, 0], atol=2e-4)
    assert all(one.error**2 >= v - 1e-5 for one, v in zip(effects, moments[:, 1], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_it_is_at_its_maximum(loss):
    columns, label = draw(loss, seed=1)
    component = fitted(columns, label, loss, fixed=["x"], random_effects=EFFECT, **ALL)
    (of_effect,) = component.population()
    eta, codes, ones = margins(component, columns), columns["g"], np.ones(len(label))
    best = brute_force(loss, eta, ones, label, codes, of_effect.deviation)[0]
    for moved, deviation in [(0.05, 1), (-0.05, 1), (0.05 * columns["x"], 1), (0, 1.05), (0, 0.95)]:
        assert brute_force(loss, eta + moved, ones, label, codes, of_effect.deviation * deviation)[0] < best


def test_a_slope_alone_rows_without_an_entity_and_weights():
    columns, label = draw(seed=2)
    columns["g"][:20] = None
    effects = [{"entity": "g", "features": ["x"]}]
    component = fitted(columns, label, "logistic", fixed=["x"], random_effects=effects, **ALL)
    eta, (of_effect,) = margins(component, columns), component.population()
    known = np.array([one is not None for one in columns["g"]])
    alone = log_density("logistic", eta[~known], label[~known]).sum()
    inside = (one[known] for one in (eta, columns["x"].astype(float), label, columns["g"]))
    expected = brute_force("logistic", *inside, of_effect.per_unit)[0]
    assert component.summary()["log likelihood"] == pytest.approx(alone + expected, abs=2e-3)


def test_no_variance_is_no_effect():
    columns, label = draw(deviation=0.0, seed=5)
    component = fitted(columns, label, "logistic", fixed=["x"], random_effects=EFFECT, **ALL)
    if component.population()[0].deviation < 0.02:
        assert any("singular" in one for one in component.summary()["notes"])
    eta = margins(component, columns)
    assert component.summary()["log likelihood"] >= log_density("logistic", eta, label).sum() - 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "variational"}, "nagq: 25 points need method: laplace"),
        ({"random_effects": [*EFFECT, {"entity": "h"}]}, "need one random effect; there are 2"),
        ({"random_effects": [{"entity": "g", "features": ["intercept", "x"]}]}, "one feature of it; g has 2"),
        ({"loss": "linear"}, "need another loss: with linear the likelihood is exact without"),
        ({"l1": 1.0}, "need l1: 0"),
        ({"update": "changed_entities"}, "nothing locked, and update: all"),
        ({"nagq": 101}, "less than or equal to 100"),
        ({"nagq": 2}, "nagq: 1, or 15 to 100"),
    ],
)
def test_what_quadrature_cannot_do_is_one_line(change, message):
    config = {"kind": "mixed", "inputs": ["x", "g", "h"], "random_effects": EFFECT, **ALL} | change
    with pytest.raises(ValidationError, match=message):
        MixedSpec.model_validate(config)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize("deviation", [1.5, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.3, 4.0))])
def test_a_variational_fit_gives_a_bound(loss, deviation):
    columns, label = draw(loss, seed=3, deviation=deviation if loss == "logistic" else deviation / 3)
    component = fitted(columns, label, loss, fixed=["x"], random_effects=EFFECT, method="variational")
    facts, (of_effect,) = component.summary(), component.population()
    assert facts["log likelihood is"] == "variational bound"
    eta = margins(component, columns)
    exact = brute_force(loss, eta, np.ones(len(eta)), label, columns["g"], of_effect.deviation)[0]
    assert exact - 0.1 * ENTITIES < facts["log likelihood"] <= exact + 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_it_is_a_bound_with_two_effects_and_slopes(loss):
    """Crossed effects, one with a slope: the integral over all of them by importance sampling around the bound's q."""
    generator = np.random.default_rng(4)
    columns, label = draw(loss, seed=4, deviation=0.8, rows=120)
    columns["g"] = np.array([f"g{one}" for one in generator.integers(0, 4, 120)], object)
    columns["h"] = np.array([f"h{one}" for one in generator.integers(0, 3, 120)], object)
    effects = [{"entity": "g", "features": ["intercept", "x"], "variance": 0.7}, {"entity": "h", "variance": 0.5}]
    component = fitted(columns, label, loss, fixed=["x"], random_effects=effects, method="variational")
    eta, x = margins(component, columns), columns["x"].astype(float)
    x = (x - x.mean()) / x.std()
    levels = [columns["g"] == f"g{k}" for k in range(4)], [columns["h"] == f"h{k}" for k in range(3)]
    design = np.array([*levels[0], *(one * x for one in levels[0]), *levels[1]], float)
    prior, mode = np.repeat([0.7, 0.5], [8, 3]), np.zeros(11)
    for _ in range(30):
        mean = np.exp(eta + mode @ design) if loss == "poisson" else expit(eta + mode @ design)
        curve = mean if loss == "poisson" else mean * (1 - mean)
        inverse = np.linalg.inv((design * curve) @ design.T + np.diag(1 / prior))
        mode = mode + inverse @ (design @ (label - mean) - mode / prior)
    root = 1.1 * np.linalg.cholesky(inverse)
    draws = generator.standard_t(6, (40_000, 11))
    proposal = (gammaln(3.5) - gammaln(3.0) - np.log(6 * np.pi) / 2 - 3.5 * np.log1p(draws**2 / 6)).sum(1)
    proposal -= np.linalg.slogdet(root)[1]
    effects = mode + draws @ root.T
    weights = -(effects**2 / prior + np.log(2 * np.pi * prior)).sum(1) / 2 - proposal
    weights += np.concatenate([log_density(loss, eta + some @ design, label).sum(1) for some in np.split(effects, 8)])
    exact = logsumexp(weights) - np.log(len(weights))
    bound = component.summary()["log likelihood"]
    error = np.exp(logsumexp(2 * weights) / 2 - logsumexp(weights))
    assert error < 0.02
    assert exact - 0.3 < bound <= exact + 3 * error


R = """
suppressMessages({library(lme4); library(jsonlite)}); words <- commandArgs(TRUE)
shipped <- function(file) { e <- new.env(); load(system.file("testdata", file, package = "lme4"), e); as.list(e)[[1]] }
of <- function(package, name) { e <- new.env(); data(list = name, package = package, envir = e); e[[name]] }
d <- eval(parse(text = words[1])); form <- as.formula(words[2]); family <- words[3]
m <- glmer(form, d, family, nAGQ = 25, control = glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 1e5)))
write(toJSON(list(y = as.numeric(getME(m, "y")), x = unname(getME(m, "X")), g = as.integer(getME(m, "flist")[[1]]),
  fixed = unname(fixef(m)), errors = unname(sqrt(diag(as.matrix(vcov(m))))), sd = unname(attr(VarCorr(m)[[1]],
  "stddev")), value = as.numeric(logLik(m))), digits = NA), words[4])
"""
DATA = {  # and the Debian package of each
    "culcita": ("shipped('culcita_dat.RData')", "predation ~ ttt + (1 | block)"),  # r-cran-lme4
    "respiratory": ("shipped('respiratory.RData')", "outcome ~ center + treat + sex + age + baseline + (1 | idctr)"),
    "grouseticks": ("grouseticks", "TICKS ~ YEAR + scale(HEIGHT) + (1 | BROOD)"),
    "Contraception": ("of('mlmRev', 'Contraception')", "use ~ age + I(age^2) + urban + livch + (1 | district)"),
    "toenail": ("of('HSAUR3', 'toenail')", "outcome ~ treatment * time + (1 | patientID)"),  # r-cran-hsaur3
    "ohio": ("of('geepack', 'ohio')", "resp ~ age * smoke + (1 | id)"),  # r-cran-geepack
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_quadrature_is_that_of_lme4(name, tmp_path):
    data, formula = DATA[name]
    loss, family = ("poisson", "poisson") if name == "grouseticks" else ("logistic", "binomial")
    try:
        done = subprocess.run(
            ["Rscript", "-e", R, data, formula, family, str(tmp_path / "out")], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("Rscript is not installed")
    if b"there is no package" in done.stderr:
        pytest.skip("an R package that holds the data is not installed")
    expected = json.loads((tmp_path / "out").read_text())
    x, label = np.array(expected["x"], np.float64), np.array(expected["y"])
    columns = {f"x{k}": x[:, k].astype(np.float32) for k in range(1, x.shape[1])}
    columns["g"] = np.array([str(one) for one in expected["g"]], object)
    component = fitted(columns, label, loss, fixed=["x*"], random_effects=EFFECT, **ALL)
    facts, fixed = component.summary(), component.fixed_effects()
    assert facts["converged"]
    # Of counts lme4's is the difference to a model with a mean of its own for each row.
    saturated = (xlogy(label, label) - label - gammaln(label + 1)).sum() if loss == "poisson" else 0.0
    assert facts["log likelihood"] - saturated == pytest.approx(expected["value"][0], abs=0.01)
    assert component.population()[0].deviation == pytest.approx(expected["sd"][0], rel=0.003)
    errors = np.array(expected["errors"])
    assert np.abs((np.array([one.per_unit for one in fixed]) - expected["fixed"]) / errors).max() < 0.01
    np.testing.assert_allclose([one.per_unit_error for one in fixed], errors, rtol=0.02)
