"""Learning from new rows alone: beside a fit to all rows, and what is refused."""

from functools import cache

import numpy as np
import pytest

from mixed_fits import TASKS
from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

MEMBERS, JOBS, ROWS = 300, 80, 6_000
CROSSED = [{"entity": "member", "features": ["intercept", "x"]}, {"entity": "job"}]


def draw(loss, seed=1, slope=0.3):
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(0)
    of_member, of_slope, of_job = (
        truth.normal(0, 0.7, MEMBERS),
        truth.normal(0, 0.3, MEMBERS),
        truth.normal(0, 0.5, JOBS),
    )
    member, job, x = (
        generator.integers(0, MEMBERS, ROWS),
        generator.integers(0, JOBS, ROWS),
        generator.normal(size=ROWS),
    )
    margin = -0.5 + (slope + of_slope[member]) * x + of_member[member] + of_job[job]
    draws = {
        "linear": lambda: margin + generator.normal(0, 0.7, ROWS),
        "logistic": lambda: generator.random(ROWS) < 1 / (1 + np.exp(-margin)),
        "poisson": lambda: generator.poisson(np.exp(margin)),
    }
    columns = {
        "x": x.astype(np.float32),
        "member": np.array([f"m{one:03d}" for one in member], object),
        "job": np.array([f"j{one:02d}" for one in job], object),
    }
    new = (np.arange(ROWS) >= ROWS - 150) | (member >= MEMBERS - 5)  # and five members that are quite new
    return Examples(columns, draws[loss]().astype(np.float64)), new


def fit(examples, loss, previous=None, **config):
    inputs = tuple(Input(name, "str" if one.dtype == object else "float") for name, one in examples.columns.items())
    spec = {"kind": "mixed", "inputs": [one.name for one in inputs], "fixed": ["x"], "random_effects": CROSSED}
    component = Mixed(MixedSpec.model_validate(spec | config), inputs)
    context = FitContext(HardwareSpec(threads=1), 0, "m", True, TASKS[loss], previous=previous)
    component.fit(examples, examples.take(slice(0, 0)), context)
    return component


@cache
def old_rows():
    """A logistic fit to the old rows, which several tests go on from, and all rows."""
    examples, new = draw("logistic")
    return fit(examples.take(~new), "logistic"), examples, new


def loaded(component, folder):
    """As a bundle has it: memory-mapped."""
    folder.mkdir()
    component.save(folder)
    return Mixed.load(component.spec, component.inputs, folder)


def margin(component, examples):
    return component.score(examples.columns)["margin"]


@pytest.mark.parametrize(
    ("loss", "method"),
    [
        ("logistic", "variational"),
        pytest.param("linear", "variational", marks=pytest.mark.slow),
        pytest.param("logistic", "pql", marks=pytest.mark.slow),
        pytest.param("poisson", "laplace", marks=pytest.mark.slow),
    ],
)
def test_it_is_near_a_fit_to_all_rows(loss, method, tmp_path):
    examples, new = draw(loss)
    old = fit(examples.take(~new), loss, method=method)
    whole = fit(examples, loss, method=method)
    found = loaded(old, tmp_path / "old")
    facts = found.update(examples.take(new), "m")
    some = examples.take(new)
    before, after = (np.sqrt(np.mean((margin(one, some) - margin(whole, some)) ** 2)) for one in (old, found))
    assert before > 0.15
    assert after < 0.1 * before
    errors = [
        [one.effects_of({"member": name})[0].error for name in some.columns["member"][:50]] for one in (found, whole)
    ]
    np.testing.assert_allclose(*errors, rtol=0.1)
    assert facts.rows == int(new.sum())
    assert facts.added == {"member": 5, "job": 0}
    assert not facts.is_refit_due


def test_of_one_effect_a_linear_update_is_exact(tmp_path):
    """Given the variances the posterior is normal, so that nothing of the earlier rows is lost; in any order."""
    examples, new = draw("linear")
    alone = {"random_effects": [{"entity": "member", "features": ["intercept", "x"]}]}
    old = fit(examples.take(~new), "linear", **alone)
    whole = fit(examples, "linear", previous=old, **alone, update="changed_entities")
    rows = np.flatnonzero(new)
    once, twice = loaded(old, tmp_path / "once"), loaded(old, tmp_path / "twice")
    once.update(examples.take(rows), "m")
    for some in (rows[100:], rows[:100]):
        twice.update(examples.take(some), "m")
    np.testing.assert_allclose(margin(once, examples), margin(whole, examples), atol=2e-3)
    np.testing.assert_allclose(margin(twice, examples), margin(once, examples), atol=1e-4)
    assert len(twice.summary()["updates"]) == 2
    assert "updated 2 times by" in twice.summary()["notes"][-1]


def test_what_has_no_new_rows_stays(tmp_path):
    old, examples, _ = old_rows()
    found = loaded(old, tmp_path / "old")
    some = np.isin(examples.columns["member"], ["m001", "m002"]) & (examples.columns["job"] == "j01")
    some[np.flatnonzero(examples.columns["member"] == "m001")[:1]] = True
    found.update(examples.take(some), "m")
    learned = {name: set(examples.columns[name][some]) for name in ("member", "job")}
    for name, known in learned.items():
        for entity in np.unique(examples.columns[name]):
            moved = found.effects_of({name: entity})[0].value != old.effects_of({name: entity})[0].value
            assert moved == (entity in known)
    assert [one.value for one in found.fixed_effects()] == [one.value for one in old.fixed_effects()]
    assert "log likelihood" not in found.summary()  # it is of the rows before


def test_changed_fixed_effects_make_a_refit_due(tmp_path):
    old, _, _ = old_rows()
    same, other = (draw("logistic", seed=7, slope=slope)[0].take(slice(0, 1500)) for slope in (0.3, 1.2))
    assert not loaded(old, tmp_path / "same").update(same, "m").is_refit_due
    facts = loaded(old, tmp_path / "other").update(other, "m")
    assert facts.is_refit_due
    assert (facts.moved_of, facts.moved > 1, facts.p_value < 1e-3) == ("x", True, True)


def test_rows_that_were_learned_from_are_refused(tmp_path):
    old, examples, new = old_rows()
    found = loaded(old, tmp_path / "old")
    rows = np.flatnonzero(new)
    found.update(examples.take(rows), "m")
    with pytest.raises(UserError, match="learned from these rows in update 1 already"):
        found.update(examples.take(rows[::-1]), "m")
    found.update(examples.take(rows[1:]), "m")  # others


def test_what_cannot_be_learned_from_is_one_line(tmp_path):
    old, examples, _ = old_rows()
    found = loaded(old, tmp_path / "old")
    some = examples.take(slice(0, 5))
    nobody = {**some.columns, **{name: np.full(5, None, object) for name in ("member", "job")}}
    for rows, message in [
        (Examples(nobody, some.label), "no row has an entity"),
        (Examples(some.columns, some.label + 1), "label"),
        (Examples(some.columns, some.label * np.nan), "no example has a label"),
    ]:
        with pytest.raises(UserError, match=message):
            found.update(rows, "m")


def test_rows_without_one_of_the_entities(tmp_path):
    old, examples, new = old_rows()
    found = loaded(old, tmp_path / "old")
    some = examples.take(new)
    job = some.columns["job"].copy()
    job[::2] = None
    alone = {**some.columns, "job": np.full(len(job), None, object)}
    assert found.update(Examples({**some.columns, "job": job}, some.label), "m").changed["job"] > 0
    assert found.update(Examples(alone, some.label), "m").changed["job"] == 0
