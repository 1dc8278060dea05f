"""What a mixed model explains: held to a generator's truth, and to lme4's estimates by hand."""

import json

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec
from r_language import run_r

SCRIPT = """
suppressMessages({library(lme4); library(jsonlite)}); words <- commandArgs(TRUE)
spread <- function(v) mean((v - mean(v))^2)
d <- %s; m <- %s
random <- sum(sapply(names(VarCorr(m)), function(g) {
  s <- VarCorr(m)[[g]]; z <- model.matrix(m)[, colnames(s), drop = FALSE]; mean(rowSums((z %%*%% s) * z)) }))
fixed <- spread(as.vector(model.matrix(m) %%*%% fixef(m)))
rest <- switch(words[1], linear = sigma(m)^2, logistic = pi^2 / 3, poisson = log(1 + 1 / mean(model.response(m@frame))))
cat(toJSON(list(data = d, icc = random / (random + rest), marginal = fixed / (fixed + random + rest),
  conditional = (fixed + random) / (fixed + random + rest)), digits = NA))
"""
CBPP = (
    "local({n <- rep(seq_len(nrow(cbpp)), cbpp$size); s <- cbpp[n, ]; data.frame(g = as.character(s$herd),"
    " x = as.integer(s$period), y = unlist(Map(function(i, k) rep(1:0, c(i, k - i)), cbpp$incidence, cbpp$size)))})"
)
CASES = {
    "linear": (
        "data.frame(g = as.character(sleepstudy$Subject), x = sleepstudy$Days, y = sleepstudy$Reaction)",
        "lmer(y ~ x + (x | g), d)",
        ["intercept", "x"],
    ),
    "logistic": (CBPP, "glmer(y ~ x + (1 | g), d, binomial)", ["intercept"]),
    "poisson": (
        "data.frame(g = as.character(grouseticks$BROOD), x = grouseticks$cHEIGHT / 100, y = grouseticks$TICKS)",
        "glmer(y ~ x + (1 | g), d, poisson)",
        ["intercept"],
    ),
}
TASKS = {"linear": "regression", "logistic": "binary", "poisson": "count"}
INPUTS = (Input("g", "str"), Input("x", "float"))


def fitted(rows, loss, features=("intercept",), **rest):
    config = {"kind": "mixed", "inputs": ["g", "x"], "fixed": ["x"], "loss": loss, "method": "laplace", "penalty": 0}
    effects = [{"entity": "g", "features": list(features)}]
    spec = MixedSpec.model_validate({**config, "random_effects": effects, **rest})
    component = Mixed(spec, INPUTS)
    context = FitContext(HardwareSpec(threads=1), seed=0, task=TASKS[loss])
    component.fit(rows, rows.take(slice(0, 0)), context)
    return component


def make_rows(rows=6000, groups=300):
    """Variances of 1 by the number, .5 by the group and 1.5 of what is left."""
    generator = np.random.default_rng(3)
    group, x = generator.integers(0, groups, rows), generator.normal(size=rows)
    label = 40 + x + generator.normal(0, 0.5**0.5, groups)[group] + generator.normal(0, 1.5**0.5, rows)
    return Examples({"g": np.array([f"g{one}" for one in group], object), "x": x.astype(np.float32)}, label)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_shares_are_the_generators(unit):
    rows = make_rows()
    facts = fitted(Examples(rows.columns, rows.label * unit), "linear").summary()
    assert facts["icc"] == pytest.approx(0.5 / 2, abs=0.03)
    assert facts["r2 marginal"] == pytest.approx(1 / 3, abs=0.03)
    assert facts["r2 conditional"] == pytest.approx(1.5 / 3, abs=0.03)


def test_an_offset_explains_and_an_exposure_has_no_one_residual():
    rows = make_rows()
    offset = {"fixed": [], "offset": "x"}
    assert fitted(rows, "linear", **offset).summary()["r2 marginal"] == pytest.approx(1 / 3, abs=0.03)
    counts = Examples({**rows.columns, "x": np.abs(rows.columns["x"]) + 1}, np.round(np.abs(rows.label) / 10))
    assert "icc" not in fitted(counts, "poisson", fixed=[], exposure="x").summary()
    assert "icc" in fitted(counts, "poisson").summary()


@pytest.mark.slow
@pytest.mark.parametrize("loss", CASES)
def test_shares_are_those_of_lme4s_estimates(loss):
    data, model, features = CASES[loss]
    theirs = json.loads(run_r(SCRIPT % (data, model), loss))
    columns = {name: np.array([row[name] for row in theirs["data"]]) for name in ("g", "x", "y")}
    rows = Examples(
        {"g": columns["g"].astype(object), "x": columns["x"].astype(np.float32)}, columns["y"].astype(float)
    )
    facts = fitted(rows, loss, features).summary()
    assert facts["icc"] == pytest.approx(theirs["icc"][0], abs=0.003)
    assert facts["r2 marginal"] == pytest.approx(theirs["marginal"][0], abs=0.003)
    assert facts["r2 conditional"] == pytest.approx(theirs["conditional"][0], abs=0.003)
