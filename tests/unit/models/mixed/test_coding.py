"""Reported in raw units and reference coding: beside generalized least squares in NumPy, and beside R's lme4."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest

from mixed_fits import fitted
from proml_kedro.errors import UserError
from proml_kedro.models.mixed.component import Mixed

CITIES = ("New York - JFK", "Lima", "Oslo")


@pytest.fixture(scope="module")
def shops():
    """A fit, the design that R would make, whose reference is the first city in the alphabet, and labels."""
    generator = np.random.default_rng(0)
    rows = 500
    g, c, age = generator.integers(0, 25, rows), generator.integers(0, 3, rows), generator.normal(40, 12, rows)
    label = (
        3 + 0.05 * age + np.array([0.0, 0.7, -0.4])[c] + generator.normal(0, 1.5, 25)[g] + generator.normal(size=rows)
    )
    label += generator.normal(0, 0.05, 25)[g] * age
    columns = {
        "age": age.astype(np.float32),
        "city": np.array(CITIES, object)[c],
        "shop": np.array([f"s{one:02d}" for one in g], object),
    }
    effects = [{"entity": "shop", "features": ["intercept", "age"]}]
    component = fitted(columns, label, fixed=["age", "city"], random_effects=effects)
    age = columns["age"].astype(np.float64)
    x = np.column_stack([np.ones(rows), age, c == 0, c == 2])  # Lima is the reference
    z = np.zeros((rows, 50))
    z[np.arange(rows), 2 * g], z[np.arange(rows), 2 * g + 1] = 1.0, age
    return component, x, z, label


def raw_covariance(population):
    deviations = np.array([one.per_unit for one in population])
    correlation = population[1].per_unit_correlations[0]
    return np.outer(deviations, deviations) * [[1, correlation], [correlation, 1]]


def test_fixed_effects_in_raw_units_are_generalized_least_squares(shops):
    component, x, z, label = shops
    s, phi = raw_covariance(component.population()), component.summary()["residual deviation"] ** 2
    v = z @ np.kron(np.eye(25), s) @ z.T + phi * np.eye(len(label))
    covariance = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    beta = covariance @ x.T @ np.linalg.solve(v, label)
    found = {one.level or one.name: one for one in component.fixed_effects()}
    assert list(found) == ["intercept", "age", "Lima", "New York - JFK", "Oslo"]
    assert (found["Lima"].value, found["Lima"].error) == (0.0, 0.0)
    order = [found[one] for one in ("intercept", "age", "New York - JFK", "Oslo")]
    errors = np.sqrt(np.diag(covariance))
    assert np.abs(([one.per_unit for one in order] - beta) / errors).max() < 0.02
    np.testing.assert_allclose([one.per_unit_error for one in order], errors, rtol=0.01)
    for text, weights in (
        ("city = New York - JFK - city = Oslo", [0, 0, 1, -1]),
        ("New York - JFK - Oslo", [0, 0, 1, -1]),
        ("city=Oslo - city=Lima", [0, 0, 0, 1]),
        ("intercept + 30 * age - 0.5*Oslo", [1, 30, 0, -0.5]),
        ("-Oslo", [0, 0, 0, -1]),
    ):
        one, error = component.contrast(text), np.sqrt(weights @ covariance @ weights)
        assert one.value == pytest.approx(weights @ beta, abs=0.02 * error), text
        assert one.error == pytest.approx(error, rel=0.01), text
    residual = label - x @ beta
    restricted = -(np.linalg.slogdet(v)[1] - np.linalg.slogdet(covariance)[1]) / 2
    restricted -= residual @ np.linalg.solve(v, residual) / 2 + (len(label) - 4) * np.log(2 * np.pi) / 2
    assert component.summary()["log likelihood"] == pytest.approx(restricted, abs=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Lima - Oso", "no fixed effect 'Oso'"),
        ("Lima Oslo", "no fixed effect 'Lima Oslo'"),
        ("Lima -", "no fixed effect"),
        ("", "is empty"),
        ("x - y", "no fixed effect 'x - y'"),
    ],
)
def test_contrasts_of_what_is_not_there_are_refused(shops, text, message):
    with pytest.raises(UserError, match=message):
        shops[0].contrast(text)


def test_coefficients_are_the_same_after_saving(shops, tmp_path):
    component = shops[0]
    component.save(tmp_path)
    loaded = Mixed.load(component.spec, component.inputs, tmp_path)
    assert loaded.fixed_effects() == component.fixed_effects()
    assert loaded.contrast("Lima - Oslo") == component.contrast("Lima - Oslo")


def test_rows_without_a_level_have_one_of_their_own(shops):
    label = shops[-1]
    generator = np.random.default_rng(1)
    columns = {
        "city": np.array(CITIES, object)[generator.integers(0, 3, len(label))],
        "shop": np.array([f"s{one}" for one in generator.integers(0, 25, len(label))], object),
    }
    columns["city"][::5] = None
    label = np.random.default_rng(2).normal(size=len(label)) + 2.0 * (columns["city"] == None)  # noqa: E711
    found = fitted(columns, label, fixed=["city"], random_effects=[{"entity": "shop"}]).fixed_effects()
    assert [one.level for one in found] == [None, "Lima", "New York - JFK", "Oslo", "(missing)"]
    assert found[-1].value == pytest.approx(2.0, abs=0.35)
    assert 0.05 < found[-1].error < 0.2


R = """
suppressMessages({library(lme4); library(jsonlite)}); words <- commandArgs(TRUE)
d <- eval(parse(text = words[1])); form <- as.formula(words[2]); contrast <- eval(parse(text = words[4]))
m <- if (words[3] == "linear") lmer(form, d) else glmer(form, d, words[3])
v <- VarCorr(m)[[1]]; b <- fixef(m); k <- as.matrix(if (words[3] == "linear") vcov(m) else vcov(m, use.hessian = FALSE))
w <- setNames(rep(0, length(b)), names(b)); w[names(contrast)] <- contrast
out <- list(fixed = unname(b), errors = unname(sqrt(diag(k))), deviations = unname(attr(v, "stddev")),
  correlation = unname(attr(v, "correlation")[1, ]), likelihood = as.numeric(logLik(m)),
  contrast = c(sum(w * b), sqrt(sum(w * (k %*% w)))))
write(toJSON(out, digits = NA), words[6]); d <- d[, all.vars(form)]
write.csv(lapply(d, function(x) if (is.factor(x)) as.character(x) else x), words[5], row.names = FALSE)
"""
DAYS = {"fixed": ["Days"], "random_effects": [{"entity": "Subject", "features": ["intercept", "Days"]}]}
ALONE = {"fixed": ["Days"], "random_effects": [{"entity": "Subject", "features": ["Days"]}]}
USE = {"fixed": ["age", "urban", "livch"], "random_effects": [{"entity": "district"}]}
SETS = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (1 + Days | Subject)", DAYS, "c(Days = 3)", "3 * Days", -871.8141),
    "sleepstudy, slopes alone": (
        "sleepstudy",
        "Reaction ~ Days + (0 + Days | Subject)",
        ALONE,
        "c(Days = 1)",
        "Days",
        -883.3,
    ),
    "Contraception": (
        "transform(mlmRev::Contraception, use = as.integer(use == 'Y'))",
        "use ~ age + urban + livch + (1 | district)",
        USE,
        "c('livch3+' = 1, livch1 = -1)",
        "livch = 3+ - livch = 1",
        None,
    ),
    "cake": (
        "transform(cake, r = interaction(recipe, replicate), temp = temp, recipe = as.character(recipe))",
        "angle ~ recipe + temp + (1 | r)",
        {"fixed": ["recipe", "temp"], "random_effects": [{"entity": "r"}]},
        "c(recipeC = 1, recipeB = -1)",
        "recipe = C - recipe = B",
        None,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_published_data_are_reported_as_lme4_does(name, tmp_path):
    data, formula, config, contrast, text, likelihood = SETS[name]
    packages = ["lme4", "jsonlite", "mlmRev"]
    check = ["Rscript", "-e", "; ".join(f"library({one})" for one in packages)]
    if not shutil.which("Rscript") or subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip("Rscript with lme4, jsonlite and mlmRev is not installed")
    loss = "logistic" if "use" in formula else "linear"
    family = {"logistic": "binomial"}.get(loss, loss)
    rows, figures = tmp_path / "rows.csv", tmp_path / "figures.json"
    command = ["Rscript", "-e", R, data, formula, family, contrast, str(rows), str(figures)]
    subprocess.run(command, check=True, capture_output=True)
    expected = json.loads(figures.read_text())
    with rows.open(newline="") as file:
        names, *lines = csv.reader(file)
    columns = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
    label = np.array(columns.pop(formula.split()[0]), np.float64)
    texts = {"urban", "livch", "recipe", *(one["entity"] for one in config["random_effects"])}
    columns = {one: np.array(v, object) if one in texts else np.array(v, np.float32) for one, v in columns.items()}
    component = fitted(columns, label, loss, **config)

    found = [one for one in component.fixed_effects() if one.error]  # the reference has none
    errors = np.array(expected["errors"])
    fixed = [one.per_unit for one in found]
    if loss == "linear" and len(found) == 4:  # R has the recipes before temp, as the formula does
        fixed, errors, expected["fixed"] = sorted(fixed), np.sort(errors), sorted(expected["fixed"])
        np.testing.assert_allclose(sorted(one.per_unit_error for one in found), errors, rtol=0.02)
    else:
        np.testing.assert_allclose([one.per_unit_error for one in found], errors, rtol=0.02)
    assert (np.abs(np.array(fixed) - expected["fixed"]) < 0.02 * errors.min()).all()
    one = component.contrast(text)
    assert one.value == pytest.approx(expected["contrast"][0], abs=0.02 * expected["contrast"][1])
    assert one.error == pytest.approx(expected["contrast"][1], rel=0.02)
    population = component.population()
    np.testing.assert_allclose([one.per_unit for one in population], expected["deviations"], rtol=0.01)
    if len(population) == 2:
        assert population[1].per_unit_correlations[0] == pytest.approx(expected["correlation"][1], abs=0.01)
    facts = component.summary()
    assert facts["log likelihood"] == pytest.approx(expected["likelihood"][0], abs=0.05)
    assert likelihood is None or facts["log likelihood"] == pytest.approx(likelihood, abs=0.1)
