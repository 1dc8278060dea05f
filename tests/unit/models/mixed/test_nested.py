"""Levels within others: what ``school/class`` means, and what is refused."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec
from r_language import run_r

INPUTS = (Input("school", "str"), Input("class", "str"), Input("x", "float"))
PASTES = """
suppressMessages(library(lme4)); m <- lmer(strength ~ 1 + (1 | batch/cask), Pastes); v <- VarCorr(m)
cat(jsonlite::toJSON(list(batch = Pastes$batch, cask = Pastes$cask, strength = Pastes$strength,
  deviations = c(attr(v$batch, "stddev"), attr(v[["cask:batch"]], "stddev"), sigma(m)),
  mean = unname(fixef(m)), error = sqrt(vcov(m)[1, 1]), likelihood = as.numeric(logLik(m))), digits = NA))
"""


def make_pupils(rows=1200, schools=20, classes=4, seed=0):
    """Every school has classes of the same names: c0 of one school has nothing of c0 of another."""
    truth, generator = np.random.default_rng(5), np.random.default_rng(seed)
    of_school, of_class = truth.normal(0, 0.8, schools), truth.normal(0, 0.5, (schools, classes))
    school, group = generator.integers(0, schools, rows), generator.integers(0, classes, rows)
    x = generator.normal(size=rows)
    label = 1 + 0.5 * x + of_school[school] + of_class[school, group] + generator.normal(0, 0.7, rows)
    columns = {
        "school": np.array([f"s{one}" for one in school], dtype=object),
        "class": np.array([f"c{one}" for one in group], dtype=object),
        "x": x.astype(np.float32),
    }
    return Examples(columns, label)


def fitted(effects, train, inputs=INPUTS, **rest):
    names = [one.name for one in inputs]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": names, "random_effects": effects, **rest})
    component = Mixed(spec, inputs)
    component.fit(train, train.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), seed=0, task="regression"))
    return component


def test_a_level_within_another_is_an_effect_of_each(tmp_path):
    rows = make_pupils()
    short = fitted([{"entity": "school/class", "features": ["intercept"]}], rows, fixed=["x"], loss="linear")
    long = fitted([{"entity": "school"}, {"entity": ["school", "class"]}], rows, fixed=["x"], loss="linear")
    assert short.summary() == long.summary()
    assert [one.title for one in short.spec.effects] == ["school", "school x class"]
    assert short.summary()["deviation of school intercept"] == pytest.approx(0.8, abs=0.35)
    assert short.summary()["deviation of school x class intercept"] == pytest.approx(0.5, abs=0.15)
    expected = long.score(rows.columns)
    short.save(tmp_path)
    loaded = Mixed.load(MixedSpec.model_validate_json(short.spec.model_dump_json()), INPUTS, tmp_path)
    for name, values in loaded.score(rows.columns).items():
        np.testing.assert_array_equal(values, expected[name])
    assert {one.effect for one in loaded.effects_of({"school": "s3", "class": "c1"})} == {"school", "school x class"}
    assert {one.effect for one in loaded.effects_of({"school": "s3"})} == {"school"}


def test_three_levels_are_three_effects():
    spec = MixedSpec.model_validate(
        {"kind": "mixed", "inputs": ["a", "b", "c"], "random_effects": [{"entity": "a/b/c", "min_rows": 3}]}
    )
    assert [(one.entity, one.min_rows) for one in spec.coefficients] == [
        (["a"], 3),
        (["a", "b"], 3),
        (["a", "b", "c"], 3),
    ]
    assert not spec.fixed_inputs(["a", "b", "c"])


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ([{"entity": "school/"}], "written as in school/class"),
        ([{"entity": "school/school"}], "written as in school/class"),
        ([{"entity": ["school/class", "x"]}], "stands alone"),
        ([{"entity": "school/class"}, {"entity": "school"}], "2 effects of school have intercept"),
        ([{"entity": "school/class"}, {"entity": ["class", "school"]}], "2 effects of class x school have"),
    ],
)
def test_what_means_nothing_is_refused(effects, message):
    with pytest.raises(ValidationError, match=message):
        MixedSpec.model_validate({"kind": "mixed", "inputs": ["*"], "random_effects": effects})


def test_a_misspelt_level_is_named_once_at_its_place():
    effects = [{"entity": "x2"}, {"entity": "school/clas"}]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": ["*"], "random_effects": effects})
    found = list(spec.check_inputs({"school": "str", "class": "str", "x2": "str"}))
    assert [(one.key, one.message) for one in found] == [
        ("random_effects.1.entity", "no input 'clas'. Did you mean 'class'?"),
    ]


@pytest.mark.slow
def test_pastes_are_fitted_as_lmer_fits_batch_and_cask():
    theirs = json.loads(run_r(PASTES))
    columns = {name: np.array(theirs[name], dtype=object) for name in ("batch", "cask")}
    rows = Examples(columns, np.array(theirs["strength"], float))
    inputs = (Input("batch", "str"), Input("cask", "str"))
    model = fitted([{"entity": "batch/cask"}], rows, inputs, loss="linear")
    facts = model.summary()
    ours = [facts[f"deviation of {name} intercept"] for name in ("batch", "batch x cask")]
    np.testing.assert_allclose(ours, theirs["deviations"][:2], rtol=0.01)
    (mean,) = model.fixed_effects()
    assert mean.value == pytest.approx(theirs["mean"][0], abs=0.02 * theirs["error"][0])
    assert mean.error == pytest.approx(theirs["error"][0], rel=0.02)
    assert facts["log likelihood"] == pytest.approx(theirs["likelihood"][0], abs=0.05)
