"""Published data sets of R's lme4 and mlmRev, fitted beside lme4 itself: crossed and nested effects of every shape."""

import json
import subprocess

import numpy as np
import pytest

from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.design import lay_out
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.observations import DesignTerms, Observations, RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings
from r_language import has_r

pytestmark = pytest.mark.slow

# Columns of the fixed effects are standardised for both; counts of cbpp become rows of 0 and 1.
SCRIPT = """
suppressMessages({library(lme4); library(jsonlite, quietly = TRUE)}); words <- commandArgs(TRUE)
d <- eval(parse(text = words[1])); form <- as.formula(words[2]); fam <- words[3]; file <- words[4]
parts <- if (fam == "linear") lFormula(form, d) else glFormula(form, d, family = fam)
x <- scale(parts$X); x[, apply(parts$X, 2, sd) == 0] <- 1; d <- d[rownames(d) %in% rownames(parts$fr), ]
y <- model.response(parts$fr); d$.y <- if (is.factor(y)) as.integer(y) - 1 else as.numeric(y); d$.x <- x
bars <- paste0("(", sapply(findbars(form), deparse), ")", collapse = " + ")
form <- as.formula(paste(".y ~ 0 + .x +", bars))
m <- if (fam == "linear") lmer(form, d, control = lmerControl(optimizer = "bobyqa")) else
  glmer(form, d, fam, control = glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 1e5)))
v <- VarCorr(m); trms <- parts$reTrms; group <- attr(trms$flist, "assign")
column <- function(name) if (name == "(Intercept)") rep(1, nrow(d)) else d[[name]]
slopes <- lapply(trms$cnms, function(names) sapply(names, column))
errors <- sqrt(diag(as.matrix(if (fam == "linear") vcov(m) else suppressWarnings(vcov(m, use.hessian = FALSE)))))
out <- list(y = d$.y, x = unname(x), fixed = unname(fixef(m)), errors = unname(errors),
  codes = lapply(seq_along(group), function(k) as.integer(trms$flist[[group[k]]]) - 1L), slopes = unname(slopes),
  deviations = unlist(lapply(seq_along(group), function(k) unname(attr(v[[k]], "stddev")))),
  likelihood = as.numeric(logLik(m)))
writeLines(toJSON(out, digits = NA), file)
"""
CBPP = "local({n <- rep(seq_len(nrow(cbpp)), cbpp$size); d <- cbpp[n, ]; rownames(d) <- NULL; "
CBPP += "d$ill <- unlist(Map(function(i, s) rep(1:0, c(i, s - i)), cbpp$incidence, cbpp$size)); d})"
FAMILIES = "local({library(mlmRev); d <- s3bbx; d$y <- s3bby[, %d]; d})"
DATA = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)", "linear"),
    "Penicillin": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", "linear"),
    "Pastes": ("Pastes", "strength ~ 1 + (1 | batch) + (1 | sample)", "linear"),
    "Dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)", "linear"),
    "cake": ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", "linear"),
    "cbpp": (CBPP, "ill ~ period + (1 | herd)", "binomial"),
    "grouseticks": (
        "grouseticks",
        "TICKS ~ YEAR + HEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
    ),
    "VerbAgg": ("VerbAgg", "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "binomial"),
    "InstEval": ("InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", "linear"),
    "Contraception": (
        "mlmRev::Contraception",
        "use ~ age + I(age^2) + urban + livch + (1 | district)",
        "binomial",
    ),
    "Chem97": ("mlmRev::Chem97", "score ~ gcsecnt + (1 | school) + (1 | lea)", "linear"),
    "egsingle": (
        "mlmRev::egsingle",
        "math ~ year * size + female + (year | childid) + (year | schoolid)",
        "linear",
    ),
    "guImmun": (
        "mlmRev::guImmun",
        "immun ~ kid2p + mom25p + ord + ethn + momEd + husEd + momWork + rural + pcInd81 + (1 | mom) + (1 | comm)",
        "binomial",
    ),
    "star": (
        "local({d <- mlmRev::star; d[!is.na(d$math), ]})",
        "math ~ gr + cltype + sx + eth + (1 | id) + (1 | tch) + (1 | sch)",
        "linear",
    ),
    **{
        f"s3bb_{k}": (FAMILIES % k, "y ~ chldcov + famcov + commcov + (1 | family) + (1 | community)", "binomial")
        for k in (1, 2, 3, 4)
    },
}
LOSSES = {"linear": "linear", "binomial": "logistic", "poisson": "poisson"}


@pytest.fixture(scope="module")
def installed():
    if not has_r("lme4", "jsonlite"):
        pytest.skip("Rscript with lme4 and jsonlite is not installed")
    return {"mlmRev"} if has_r("mlmRev") else set()


LONG = {"InstEval"}  # lme4 takes half a minute


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.soak if one in LONG else ()) for one in DATA])
def test_a_published_data_set_is_fitted_as_lme4_does(name, installed, tmp_path):
    data, formula, family = DATA[name]
    if "mlmRev" in data and "mlmRev" not in installed:
        pytest.skip("R's mlmRev is not installed")
    file = tmp_path / "out.json"
    subprocess.run(["Rscript", "-e", SCRIPT, data, formula, family, str(file)], check=True, capture_output=True)
    expected = json.loads(file.read_text())
    loss, label = LOSSES[family], np.array(expected["y"], float)
    mean, unit = (label.mean(), label.std()) if loss == "linear" else (0.0, 1.0)
    effects = []
    for codes, slopes in zip(expected["codes"], expected["slopes"], strict=True):
        columns = np.array(slopes, np.float32).reshape(len(label), -1)
        effects.append(RandomEffectTerm(np.array(codes, np.int32), columns, max(codes) + 1))
    fixed = np.array(expected["x"], float).reshape(len(label), -1)
    design = lay_out(Observations((label - mean) / unit, 0 * label), DesignTerms(fixed, [], effects))
    start = [Covariance(0.2 * np.eye(one.dimension), True, False) for one in effects]
    found = fit(design, start, FitSettings(loss, "laplace", penalty=0))

    assert found.converged
    errors = np.array(expected["errors"])
    distance = np.abs(found.fixed * unit + mean * (np.arange(len(errors)) == 0) - expected["fixed"]) / errors
    assert distance.max() < 0.03
    np.testing.assert_allclose(found.fixed_errors * unit, errors, rtol=0.02)
    deviations = np.concatenate([np.sqrt(np.diag(one)) for one in found.covariances]) * unit
    np.testing.assert_allclose(deviations, expected["deviations"], rtol=0.01)
    restored = found.log_likelihood - (len(label) - len(errors)) * np.log(unit)
    assert restored == pytest.approx(expected["likelihood"][0], abs=0.05)
