"""Log likelihoods that are compared: criteria and tests beside R's, and which comparisons are refused."""

import csv
import json
import subprocess

import numpy as np
import pytest

from mixed_fits import fitted
from proml_kedro.models.likelihoods import Likelihood, obstacles, ratio_test

EFFECT = [{"entity": "g"}]
SLOPE = [{"entity": "g", "features": ["intercept", "x"]}]


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    g, c, x = generator.integers(0, 40, 1_200), generator.integers(0, 3, 1_200), generator.normal(2, 3, 1_200)
    margin = -0.5 + 0.2 * x + generator.normal(0, 0.8, 40)[g] + 0.15 * generator.normal(size=40)[g] * x
    columns = {
        "x": x.astype(np.float32),
        "c": np.array([f"c{one}" for one in c], object),
        "g": np.array([f"g{one}" for one in g], object),
    }
    return columns, (generator.random(1_200) < 1 / (1 + np.exp(-margin))).astype(np.float32)


def likelihood(rows, loss="logistic", **config):
    return Likelihood(**fitted(*rows, loss, **config).summary()["likelihood"])


def test_parameters_are_counted_as_in_lme4(rows):
    assert likelihood(rows, fixed=["x", "c"], random_effects=EFFECT).parameters == 5  # 4 fixed effects, a variance
    assert likelihood(rows, fixed=["x"], random_effects=SLOPE).parameters == 5  # 2, and 3 of a covariance
    diagonal = [{**SLOPE[0], "covariance": "diagonal"}]
    assert likelihood(rows, fixed=["x"], random_effects=diagonal).parameters == 4
    given = [{**SLOPE[0], "variance": 0.3}]
    assert likelihood(rows, fixed=["x"], random_effects=given).parameters == 2
    assert likelihood(rows, "linear", fixed=["x"], random_effects=EFFECT).parameters == 4  # and the residual variance


@pytest.mark.parametrize(
    ("change", "config", "reason"),
    [
        ({}, {"penalty": 1.0}, "not at its maximum"),
        ({}, {"method": "variational"}, "one is a variational bound, which may be far below"),
        ({}, {"nagq": 25}, "one is laplace, the other quadrature of 25 points"),
        ({}, {"method": "pql"}, "not at its maximum"),
        ({}, {"max_iterations": 2}, "not at its maximum"),
        ({"rows": slice(1, None)}, {}, "other training rows"),
        ({"label": True}, {}, "labels"),
        ({"loss": "linear"}, {}, "one is laplace, the other restricted"),
    ],
)
def test_what_cannot_be_compared_is_refused(rows, change, config, reason):
    columns, label = rows
    part = change.get("rows", slice(None))
    other = {name: values[part] for name, values in columns.items()}, label[part].copy()
    if change.get("label"):
        other[1][0] = 1 - other[1][0]
    base = {"fixed": ["x"], "random_effects": EFFECT}
    one = likelihood(rows, **base)
    assert fitted(*rows, "logistic", **base).summary()["log likelihood is"] == "laplace"
    if reason.startswith("not at"):
        said = fitted(*rows, "logistic", **base | config).summary()["log likelihood is"]
        assert said == "laplace, not at its maximum"
    assert reason in "; ".join(obstacles(one, likelihood(other, change.get("loss", "logistic"), **base | config)))
    assert not list(obstacles(one, likelihood(rows, **base)))


def test_restricted_ones_of_other_fixed_effects_are_not_compared(rows):
    one, two = (likelihood(rows, "linear", fixed=fixed, random_effects=EFFECT) for fixed in (["x"], ["x", "c"]))
    assert "restricted ones depend on the fixed effects" in "; ".join(obstacles(one, two))
    slope = likelihood(rows, "linear", fixed=["x"], random_effects=SLOPE)
    assert not list(obstacles(one, slope))
    assert ratio_test(one, slope).conservative


def test_a_model_is_tested_in_one_that_holds_it_alone(rows):
    x, c = (likelihood(rows, fixed=[one], random_effects=EFFECT) for one in ("x", "c"))
    both = likelihood(rows, fixed=["x", "c"], random_effects=EFFECT)
    assert ratio_test(x, c) is None
    assert ratio_test(both, x) == ratio_test(x, both)
    assert ratio_test(x, both).degrees == 2
    assert not ratio_test(x, both).conservative


R = """
suppressMessages({library(lme4); library(jsonlite)}); words <- commandArgs(TRUE); d <- read.csv(words[1])
one <- glmer(y ~ x + (1 | g), d, binomial); two <- glmer(y ~ x + c + (x | g), d, binomial)
a <- anova(one, two); write(toJSON(list(aic = a$AIC, bic = a$BIC, value = a$logLik,
  statistic = a$Chisq[2], degrees = a$Df[2], p = a[["Pr(>Chisq)"]][2]), digits = NA), words[2])
"""


@pytest.mark.slow
def test_criteria_and_test_are_those_of_lme4(rows, tmp_path, lme4):
    columns, label = rows
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "y"])
        writer.writerows(zip(*(values.tolist() for values in columns.values()), label.tolist(), strict=True))
    done = tmp_path / "found.json"
    subprocess.run(["Rscript", "-e", R, str(tmp_path / "rows.csv"), str(done)], check=True, capture_output=True)
    expected = json.loads(done.read_text())
    one = likelihood(rows, fixed=["x"], random_effects=EFFECT)
    two = likelihood(rows, fixed=["x", "c"], random_effects=SLOPE)
    np.testing.assert_allclose([one.value, two.value], expected["value"], atol=0.02)
    np.testing.assert_allclose([one.aic, two.aic], expected["aic"], atol=0.04)
    np.testing.assert_allclose([one.bic, two.bic], expected["bic"], atol=0.04)
    test = ratio_test(one, two)
    assert test.statistic == pytest.approx(expected["statistic"][0], abs=0.04)
    assert test.degrees == expected["degrees"][0]
    assert test.p_value == pytest.approx(expected["p"][0], rel=0.05)


@pytest.fixture
def lme4():
    command = ["Rscript", "-e", "library(lme4); library(jsonlite)"]
    try:
        missing = subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        missing = True
    if missing:
        pytest.skip("Rscript with lme4 and jsonlite is not installed")
