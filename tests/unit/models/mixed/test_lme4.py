"""The reference implementation: R's lme4, by way of Rscript, where both are installed."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest

from dense_mixed import arrange
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.observations import RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings

SCRIPT = """
suppressMessages(library(lme4)); folder <- commandArgs(TRUE)[1]
d <- read.csv(file.path(folder, "d.csv"), colClasses = c("factor", "factor", "numeric", "numeric"))
loss <- commandArgs(TRUE)[2]; points <- as.integer(commandArgs(TRUE)[3])
form <- y ~ x + (x | g) + (1 | h)
exact <- list(optimizer = "bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-9), tolPwrss = 1e-12)
m <- switch(loss,
  linear = lmer(form, d),
  logistic = glmer(form, d, binomial, nAGQ = points, control = do.call(glmerControl, exact)),
  poisson = glmer(form, d, poisson, nAGQ = points, control = do.call(glmerControl, exact)))
v <- VarCorr(m); r <- ranef(m)
row <- function(a) cat(paste(format(as.vector(a), digits = 15), collapse = " "), "\\n")
row(fixef(m)); row(v$g); row(v$h); row(sigma(m)); row(logLik(m))
row(t(as.matrix(r$g))); row(r$h[[1]])
row(sqrt(diag(as.matrix(if (loss == "linear") vcov(m) else vcov(m, use.hessian = FALSE)))))
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _lme4():
    command = ["Rscript", "-e", "library(lme4)"]
    if not shutil.which("Rscript") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("Rscript with lme4 is not installed")


@pytest.fixture(scope="module")
def problem():
    generator = np.random.default_rng(3)
    rows, g, h = 1500, 40, 25
    x = generator.normal(size=rows)
    x = (x - x.mean()) / x.std()
    codes = {"g": generator.integers(0, g, rows), "h": generator.integers(0, h, rows)}
    margin = -0.3 + 0.5 * x + generator.normal(0, 0.7, g)[codes["g"]] + generator.normal(0, 0.4, g)[codes["g"]] * x
    margin += generator.normal(0, 0.5, h)[codes["h"]]
    labels = {
        "logistic": (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(float),
        "linear": margin + generator.normal(0, 0.6, rows),
        "poisson": generator.poisson(np.exp(margin)).astype(float),
    }
    return codes, x.astype(np.float32), {name: one.astype(np.float32) for name, one in labels.items()}


def by_lme4(problem, loss, folder, points=0):
    codes, x, labels = problem
    with (folder / "d.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["g", "h", "x", "y"])
        names = [[f"{code:03d}" for code in codes[name].tolist()] for name in ("g", "h")]
        writer.writerows(zip(*names, x.tolist(), labels[loss].tolist(), strict=True))
    done = subprocess.run(
        ["Rscript", "-e", SCRIPT, str(folder), loss, str(points)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    lines = [np.array(line.split(), float) for line in done.stdout.strip().splitlines()]
    names = ("fixed", "g", "h", "sigma", "log_likelihood", "effects_g", "effects_h", "fixed_errors")
    return dict(zip(names, lines, strict=True))


def by_us(problem, loss, covariances, method="pql"):
    codes, x, labels = problem
    ones = np.ones(len(x))
    effects = [
        RandomEffectTerm(codes["g"].astype(np.int32), np.column_stack([ones, x]).astype(np.float32), 40),
        RandomEffectTerm(codes["h"].astype(np.int32), ones[:, None].astype(np.float32), 25),
    ]
    how = FitSettings(loss, method, penalty=0, tolerance=1e-7, covariance_tolerance=1e-7, max_iterations=300)
    rows = arrange(labels[loss], 0 * ones, np.column_stack([ones, x]), [], effects)
    found = fit(rows, covariances, how)
    assert found.converged, json.dumps(found.history[-1])
    return found


def test_a_linear_model_is_lmers(problem, tmp_path):
    """All of it is estimated: restricted maximum likelihood has one answer."""
    expected = by_lme4(problem, "linear", tmp_path)
    found = by_us(problem, "linear", [Covariance(0.3 * np.eye(2), True, False), Covariance(np.eye(1), True, False)])
    np.testing.assert_allclose(found.covariances[0].ravel(), expected["g"], atol=1e-3)
    np.testing.assert_allclose(found.covariances[1].ravel(), expected["h"], atol=1e-3)
    assert found.dispersion**0.5 == pytest.approx(expected["sigma"][0], abs=1e-4)
    agrees(found, expected)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_for_its_variances_a_generalized_model_is_glmers(problem, loss, tmp_path):
    """Given the variances, fixed and random effects maximise one function (glmer with nAGQ = 0)."""
    expected = by_lme4(problem, loss, tmp_path)
    given = [Covariance(expected[name].reshape(d, d), False, False) for name, d in (("g", 2), ("h", 1))]
    found = by_us(problem, loss, given)
    agrees(found, expected)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_by_laplace_a_generalized_model_is_glmers(problem, loss, tmp_path):
    """All of it is estimated: Laplace's approximation of the marginal likelihood has one maximum (nAGQ = 1)."""
    expected = by_lme4(problem, loss, tmp_path, points=1)
    start = [Covariance(0.3 * np.eye(2), True, False), Covariance(np.eye(1), True, False)]
    found = by_us(problem, loss, start, "laplace")
    np.testing.assert_allclose(found.covariances[0].ravel(), expected["g"], atol=1e-3)
    np.testing.assert_allclose(found.covariances[1].ravel(), expected["h"], atol=1e-3)
    agrees(found, expected)


def agrees(found, expected):
    np.testing.assert_allclose(found.fixed, expected["fixed"], atol=1e-3)
    np.testing.assert_allclose(found.fixed_errors, expected["fixed_errors"], atol=1e-3)
    np.testing.assert_allclose(found.effects[0].ravel(), expected["effects_g"], atol=1e-3)
    np.testing.assert_allclose(found.effects[1].ravel(), expected["effects_h"], atol=1e-3)
    assert found.log_likelihood == pytest.approx(expected["log_likelihood"][0], abs=0.02)
