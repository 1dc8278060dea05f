"""What data cannot tell is said in one line each: rows made by generators, and fits beside those of R's lme4."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest

from dense_mixed import draw
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.memory import design
from proml_kedro.models.mixed.memory.separation import separating
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

TASKS = {"logistic": "binary", "linear": "regression", "poisson": "count"}
NUMBERS, TEXTS = ("x", "x2", "x3"), ("c", "g", "h")
INPUTS = (*(Input(one, "float") for one in NUMBERS), *(Input(one, "str") for one in TEXTS))
ROWS = 600


def rows_of(loss, seed=0, deviation=0.8, groups=30, rows=ROWS):
    """Columns and labels: x counts, g has effects, and c, h, x2 and x3 say nothing."""
    generator = np.random.default_rng(seed)
    found = {name: generator.normal(size=rows).astype(np.float32) for name in NUMBERS}
    found |= {name: generator.integers(0, n, rows) for name, n in (("c", 3), ("g", groups), ("h", 20))}
    margin = 0.4 * found["x"] + generator.normal(0, deviation, groups)[found["g"]] - 0.3
    return found | {"y": draw(generator, loss, margin).astype(np.float32)}


def fitted(data, loss, said_unread=False, **config):
    columns = {name: data[name].astype(np.float32) for name in NUMBERS}
    columns |= {name: np.array([f"{name}{one}" for one in data[name]], object) for name in TEXTS}
    examples = Examples(columns, data["y"].astype(np.float32))
    config = {"fixed": ["x"], "random_effects": [{"entity": "g"}], "method": "laplace", **config}
    names = [one.name for one in INPUTS]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": names, "loss": loss, **config})
    unread = () if said_unread else spec.unread_inputs(names)
    component = Mixed(spec, [one for one in INPUTS if one.name not in unread])
    component.fit(examples, examples.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0, "m", True, TASKS[loss]))
    return component


SLOPE = [{"entity": "g", "features": ["intercept", "x2"]}]
BOTH = [{"entity": "g"}, {"entity": "h"}]
# Each case: a change of the rows, one of the configuration, and what is said.
CASES = {
    "nothing is wrong": ({}, {}, []),
    "a column twice": ({"x2": lambda d: 2 * d["x"]}, {"fixed": ["x", "x2"]}, ["aliased: x2 is determined by x:"]),
    "a column of two": (
        {"x3": lambda d: d["x"] + d["x2"]},
        {"fixed": ["x*"], "penalty": 0},
        ["aliased: x3 is determined by x, x2:"],
    ),
    "a level as a number": (
        {"x2": lambda d: d["c"] == 1},
        {"fixed": ["x2", "c"]},
        ["aliased: c is determined by x2:"],
    ),
    "a text twice": ({"h": lambda d: d["c"]}, {"fixed": ["c", "h"]}, ["aliased: h is determined by c:"]),
    "an entity twice": ({"h": lambda d: d["g"]}, {"random_effects": BOTH}, ["aliased: g and h divide the rows alike"]),
    "an entity among the fixed": (
        {"c": lambda d: d["g"]},
        {"fixed": ["c"]},
        ["aliased: c determines g,", "singular: the deviation of g intercept is practically zero"],
    ),
    "one entity": ({"g": lambda d: 0 * d["g"]}, {}, ["g has one entity: its variance cannot be estimated"]),
    "four entities": ({"g": lambda d: d["g"] % 4}, {}, ["g has 4 entities: its variance is hardly known"]),
    "a slope of what belongs to entities": (
        {"x2": lambda d: d["g"] % 7},
        {"random_effects": SLOPE},
        ["x2 is the same in all rows of an entity of g"],
    ),
    "a constant": ({"x2": lambda d: 0 * d["x"] + 3}, {"fixed": ["x", "x2"]}, ["x2 is constant and says nothing"]),
    "too few steps": ({}, {"max_iterations": 2}, ["stopped after 2 steps without converging"]),
}
BESIDE = {
    "four entities": ("singular",),
    "a slope of what belongs to entities": ("singular",),
    "an entity among the fixed": ("separation: all labels of c = c13",),
}


@pytest.mark.parametrize("loss", TASKS)
@pytest.mark.parametrize("case", CASES)
def test_what_the_design_cannot_tell_is_said(case, loss, caplog):
    changes, config, expected = CASES[case]
    data = rows_of(loss)
    data |= {name: change(data) for name, change in changes.items()}
    notes = fitted(data, loss, **config).summary()["notes"]
    beside = BESIDE.get(case, ())  # by chance, or because of the same thing
    said = [note for note in notes if not note.startswith(beside)] if beside else notes
    assert len(said) == len(expected), notes
    assert all(note.startswith(start) for note, start in zip(said, expected, strict=True)), notes
    logged = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert logged == [f"m: {note}" for note in notes]


def test_inputs_that_no_term_reads_are_said():
    effects = [{"entity": ["g", "h"], "features": ["intercept", "x2"]}]
    notes = fitted(rows_of("linear"), "linear", said_unread=True, random_effects=effects).summary()["notes"]
    assert notes[0] == "x3, c: in no term of the model, and change nothing; name them under `fixed`"
    assert not [note for note in notes[1:] if "in no term" in note]


@pytest.mark.parametrize(("loss", "said"), [("linear", 1), ("logistic", 1), ("poisson", 0)])
def test_one_row_an_entity_cannot_be_told_from_the_noise_of_numbers_and_classes(loss, said):
    data = rows_of(loss) | {"g": np.arange(ROWS)}
    notes = fitted(data, loss).summary()["notes"]
    start = "g has one row an entity: its variance cannot be told from that of the labels"
    assert [note for note in notes if "an entity" in note] == [start][:said]


def test_as_many_coefficients_as_rows_cannot_be_told_from_the_noise():
    data = rows_of("linear", rows=60)
    data["g"] = np.arange(60) // 2
    (note,) = fitted(data, "linear", random_effects=SLOPE).summary()["notes"][:1]
    assert note.startswith("g has no more rows than its 2 coefficients an entity")


@pytest.mark.parametrize("method", ["pql", "laplace"])
def test_more_columns_than_can_be_dense_are_said(method, monkeypatch):
    monkeypatch.setattr(design, "MOST_DENSE", 10)
    facts = fitted(rows_of("logistic"), "logistic", random_effects=BOTH, method=method).summary()
    (note,) = [one for one in facts["notes"] if one.startswith("approximate: more columns beside")]
    assert ("averaged as if effects were independent" in note) == (method == "laplace")
    assert "no log likelihood" in note
    assert "log likelihood" not in facts


@pytest.mark.parametrize("loss", ["linear", "logistic"])
def test_they_are_said_where_variances_are_given_too(loss, monkeypatch):
    given = [{**one, "variance": 0.25} for one in BOTH]
    assert not [one for one in fitted(rows_of(loss), loss, random_effects=given).summary()["notes"] if "approx" in one]
    monkeypatch.setattr(design, "MOST_DENSE", 10)
    facts = fitted(rows_of(loss), loss, random_effects=given).summary()
    assert [one for one in facts["notes"] if one.startswith("approximate: more columns beside")]


def test_separation_is_said_whatever_causes_it():
    numbers = rows_of("logistic")
    numbers["y"] = (numbers["x"] + numbers["x2"] > 0.5).astype(np.float32)
    for penalty in (0.0, 1.0):
        (note,) = [
            one
            for one in fitted(numbers, "logistic", fixed=["x", "x2"], penalty=penalty).summary()["notes"]
            if "sep" in one
        ]
        assert note.startswith("separation: x, x2 predicts labels perfectly")
    for loss, label in (("logistic", 1), ("logistic", 0), ("poisson", 0)):
        level = rows_of(loss)
        level["y"][level["c"] == 1] = label
        (note,) = fitted(level, loss, fixed=["x", "c"]).summary()["notes"]
        assert note.startswith("separation: all labels of c = c1 are alike")
        level["y"][:] = label
        assert fitted(level, loss, fixed=["x", "c"]).summary()["notes"][0].startswith(f"all labels are {label}:")
    entity = rows_of("logistic")
    entity["y"] = (entity["g"] % 2).astype(np.float32)
    assert fitted(entity, "logistic").summary()["notes"][0].startswith("the deviation of g intercept is at its bound")


def test_classes_that_overlap_in_one_row_are_not_separated():
    """Also among more rows than the search begins with."""
    generator = np.random.default_rng(0)
    numbers = np.column_stack([np.ones(20_000), generator.normal(size=(20_000, 2))])
    positive = numbers[:, 1] + numbers[:, 2] > 0.3
    assert separating(numbers, positive) == [1, 2]
    inside = np.argmax(numbers[:, 1] + numbers[:, 2] < -1)
    positive[inside] = True
    assert separating(numbers, positive) == []


R = """
suppressMessages({library(lme4); library(jsonlite)}); words <- commandArgs(TRUE)
d <- read.csv(words[1]); for (n in c("c", "g", "h")) d[[n]] <- factor(d[[n]])
one <- function(e) if (words[2] == "linear") lmer(y ~ x + (1 | g), e) else glmer(y ~ x + (1 | g), e, words[2])
fits <- lapply(split(d, d$seed), function(e) suppressMessages(one(e)))
write(toJSON(list(singular = unname(sapply(fits, isSingular)),
  deviation = unname(sapply(fits, function(m) attr(VarCorr(m)$g, "stddev"))))), words[3])
"""


@pytest.fixture(scope="module")
def _r():
    command = ["Rscript", "-e", "library(lme4); library(jsonlite)"]
    if not shutil.which("Rscript") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("Rscript with lme4 and jsonlite is not installed")


@pytest.mark.slow
@pytest.mark.usefixtures("_r")
@pytest.mark.parametrize(("loss", "family"), [("linear", "linear"), ("logistic", "binomial"), ("poisson", "poisson")])
def test_a_fit_is_singular_where_lme4_says_so(loss, family, tmp_path):
    """Twenty sets of rows without any effect of the entities: about half of the fits end at zero."""
    sets = {seed: rows_of(loss, seed, deviation=0.0) for seed in range(20)}
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        names = [*NUMBERS, *TEXTS, "y"]
        writer.writerow(["seed", *names])
        for seed, data in sets.items():
            writer.writerows(zip([seed] * ROWS, *(data[name].tolist() for name in names), strict=True))
    done = tmp_path / "found.json"
    subprocess.run(["Rscript", "-e", R, str(tmp_path / "rows.csv"), family, str(done)], check=True, capture_output=True)
    expected = json.loads(done.read_text())
    assert 5 < sum(expected["singular"]) < 20
    for data, singular, deviation in zip(sets.values(), expected["singular"], expected["deviation"], strict=True):
        facts = fitted(data, loss, penalty=0).summary()
        unit = data["y"].std() if loss == "linear" else 1.0
        said = any(note.startswith("singular: the deviation of g") for note in facts["notes"])
        assert said or not singular, facts
        assert not said or deviation < 0.02 * unit, deviation
        assert facts["deviation of g intercept"] == pytest.approx(deviation, abs=0.012)
