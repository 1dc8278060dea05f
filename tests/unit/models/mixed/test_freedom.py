"""Intervals of fixed effects where there are few entities: held to lmerTest, to balanced designs, and to chance."""

import json

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.effects import interval_of
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.memory import freedom
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec
from r_language import run_r
from soaked import note

INPUTS = (Input("g", "str"), Input("between", "float"), Input("within", "float"))


def fitted(rows, inputs=INPUTS, fixed=("between", "within"), effects=({"entity": "g"},), task="regression", **rest):
    config = {"kind": "mixed", "inputs": [one.name for one in inputs], "fixed": list(fixed), "penalty": 0}
    spec = MixedSpec.model_validate({**config, "random_effects": list(effects), **rest})
    component = Mixed(spec, inputs)
    component.fit(rows, rows.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), seed=0, task=task))
    return component


def make_rows(groups, size, seed=0, deviation=1.0):
    """As many rows in each group, a number that differs between groups, and one that differs within them."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    between = np.linspace(-1, 1, groups)[group]
    within = np.tile(np.linspace(-1, 1, size), groups)
    label = 0.5 * between + 0.3 * within + generator.normal(0, deviation, groups)[group]
    label += generator.normal(size=len(group))
    columns = {
        "g": np.array([f"g{one}" for one in group], object),
        "between": between.astype(np.float32),
        "within": within.astype(np.float32),
    }
    return Examples(columns, label)


@pytest.mark.parametrize("groups", [4, 5, 9])
def test_balanced_designs_have_the_degrees_of_their_analysis_of_variance(groups, tmp_path):
    """What differs between groups has groups - 2, what differs within them rows - groups - 1."""
    rows = make_rows(groups, 12, deviation=3.0)
    model = fitted(rows)
    known = {one.name: one for one in model.fixed_effects()}
    assert known["between"].df == pytest.approx(groups - 2, rel=0.02)
    assert known["between"].per_unit_df == pytest.approx(groups - 2, rel=0.02)
    assert known["within"].df == pytest.approx(12 * groups - groups - 1, rel=0.02)
    low, high = known["between"].interval()
    assert high - low > 2.2 * 1.96 * known["between"].error or groups > 4
    model.save(tmp_path)
    loaded = Mixed.load(model.spec, INPUTS, tmp_path)
    assert loaded.fixed_effects() == model.fixed_effects()
    assert model.contrast("between - within").df > groups - 2.1


def test_the_unit_of_labels_and_numbers_changes_no_degree():
    rows = make_rows(5, 12, deviation=3.0)
    scaled = {**rows.columns, "between": rows.columns["between"] * 1000 + 5, "within": rows.columns["within"] / 1000}
    first, second = fitted(rows), fitted(Examples(scaled, rows.label * 1e-4 - 7))
    for one, other in zip(first.fixed_effects()[1:], second.fixed_effects()[1:], strict=True):
        assert other.df == pytest.approx(one.df, rel=0.01)


def test_an_effect_without_variance_leaves_the_degrees_of_a_regression():
    rows = make_rows(8, 10)
    label = rows.label - np.repeat(rows.label.reshape(8, 10).mean(1), 10)  # group means are equal: a variance of zero
    model = fitted(Examples(rows.columns, label))
    assert model.summary()["deviation of g intercept"] < 0.05
    assert {one.name: one.df for one in model.fixed_effects()}["within"] == pytest.approx(78, rel=0.05)


def test_what_is_not_known_is_called_normal(monkeypatch):
    rows = make_rows(5, 12, deviation=3.0)
    given = fitted(rows, effects=[{"entity": "g", "variance": 1.0}])
    assert {one.name: one.df for one in given.fixed_effects()}["between"] > 50  # the variance is known
    assert all(one.df is None for one in fitted(rows, l1=0.5).fixed_effects())
    binary = Examples(rows.columns, (rows.label > 0).astype(float))
    assert all(one.df is None for one in fitted(binary, loss="logistic", task="binary").fixed_effects())
    monkeypatch.setattr(freedom, "MOST_COLUMNS", 7)
    assert all(one.df is None for one in fitted(rows).fixed_effects())
    monkeypatch.setattr(freedom, "MOST_COLUMNS", 8)
    assert all(one.df is not None for one in fitted(rows).fixed_effects())


LMER_TEST = """
suppressMessages({library(lmerTest); library(jsonlite)}); d <- %s
m <- lmer(%s, d); s <- coef(summary(m))
cat(toJSON(list(data = d, names = rownames(s), df = s[, "df"], error = s[, "Std. Error"]), digits = NA))
"""
DATA = {
    "slopes": (
        "data.frame(g = as.character(sleepstudy$Subject), x = sleepstudy$Days, y = sleepstudy$Reaction)",
        "y ~ x + (x | g)",
        ["x"],
        [{"entity": "g", "features": ["intercept", "x"]}],
    ),
    "intercepts": (
        "data.frame(g = as.character(sleepstudy$Subject), x = sleepstudy$Days, y = sleepstudy$Reaction)",
        "y ~ x + (1 | g)",
        ["x"],
        [{"entity": "g"}],
    ),
    "cake": (
        "data.frame(g = paste(cake$recipe, cake$replicate), x = cake$temp, c = as.character(cake$recipe), "
        "y = cake$angle)",
        "y ~ x + c + (1 | g)",
        ["x", "c"],
        [{"entity": "g"}],
    ),
    "crossed": (
        "local({set.seed(4); n <- 120; a <- sample(6, n, TRUE); b <- sample(4, n, TRUE); x <- rnorm(6)[a]; "
        "data.frame(g = letters[a], h = LETTERS[b], x = x, y = x + rnorm(6)[a] + rnorm(4)[b] + rnorm(n))})",
        "y ~ x + (1 | g) + (1 | h)",
        ["x"],
        [{"entity": "g"}, {"entity": "h"}],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_degrees_are_those_of_lmer_test(name):
    data, formula, fixed, effects = DATA[name]
    theirs = json.loads(run_r(LMER_TEST % (data, formula), packages=("lmerTest", "jsonlite")))
    kinds = {"g": "str", "h": "str", "c": "str", "x": "float"}
    inputs = tuple(Input(one, kinds[one]) for one in theirs["data"][0] if one != "y")
    columns = {
        one.name: np.array([row[one.name] for row in theirs["data"]], object if one.dtype == "str" else np.float32)
        for one in inputs
    }
    label = np.array([row["y"] for row in theirs["data"]], float)
    model = fitted(Examples(columns, label), inputs, fixed, effects)
    ours = {f"{one.name}{one.level or ''}".replace("intercept", "(Intercept)"): one for one in model.fixed_effects()}
    for title, df, error in zip(theirs["names"], theirs["df"], theirs["error"], strict=True):
        assert ours[title].per_unit_error == pytest.approx(error, rel=0.02), title
        assert ours[title].per_unit_df == pytest.approx(df, rel=0.03), title


def coverage(groups, fits):
    """Count how often intervals hold the truth, of what differs between groups and within them; and normal ones."""
    held = np.zeros((2, 2))
    for seed in range(fits):
        known = {one.name: one for one in fitted(make_rows(groups, 10, seed, 0.7)).fixed_effects()}
        for place, (name, truth) in enumerate((("between", 0.5), ("within", 0.3))):
            one = known[name]
            intervals = one.interval(), interval_of(one.value, one.error, None, 0.95)
            held[:, place] += [low <= truth * one.value / one.per_unit <= high for low, high in intervals]
    return held / fits


@pytest.mark.slow
def test_intervals_of_five_groups_hold_the_truth_where_normal_ones_do_not():
    found, normal = coverage(5, 150)
    assert ((found > 0.89) & (found < 0.99)).all()  # by three standard errors of chance
    assert normal[0] < 0.90


@pytest.mark.soak
@pytest.mark.parametrize("groups", [5, 20, 500])
def test_intervals_hold_the_truth_in_95_of_100_fits(groups):
    found, _ = coverage(groups, 2_000)
    held = {name: round(2_000 * share) for name, share in zip(("between", "within"), found, strict=True)}
    note(f"intervals of fixed effects that hold the truth, {groups} groups", fits=2_000, **held)
    assert ((found > 0.93) & (found < 0.97)).all()
