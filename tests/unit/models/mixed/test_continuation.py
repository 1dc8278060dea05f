"""Going on: warm starts, what is locked, updates of changed entities, and fits that were killed."""

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dense_mixed import derivatives, draw
from proml_kedro.errors import UserError
from proml_kedro.hardware import use
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed import row_hashes
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.encoding import Names
from proml_kedro.models.mixed.memory import checkpoint, fit
from proml_kedro.models.mixed.score import contributions
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec
from stopped import kill_where_it_stops

INPUTS = (Input("member", "str"), Input("job", "str"), Input("job.pay", "float"), Input("job.kind", "str"))
TASKS = {"logistic": "binary", "linear": "regression", "poisson": "count"}
EFFECTS = [{"entity": "member", "features": ["intercept", "job.pay"]}, {"entity": "job"}]
BOTH = [*EFFECTS, {"kind": "factors", "entity": ["member", "job"], "rank": 2}]


def make_examples(rows=4000, members=80, jobs=30, seed=0, first=0, loss="logistic", taste=0.0):
    """Members from ``first`` on; the truth, with an interaction of size ``taste``, is the same for every seed."""
    truth, generator = np.random.default_rng(8), np.random.default_rng(seed)
    own, appeal = truth.normal(0, 0.7, 300), truth.normal(0, 0.5, 300)
    member, job = first + generator.integers(0, members, rows), generator.integers(0, jobs, rows)
    pay = generator.normal(size=rows).astype(np.float32)
    interaction = taste * own[(member + 150) % 300] * appeal[job + 150]
    label = draw(generator, loss, own[member] + appeal[job] + 0.3 * pay + interaction)
    columns = {
        "member": np.array([f"m{one}" for one in member], object),
        "job": np.array([f"j{one}" for one in job], object),
        "job.pay": pay,
        "job.kind": np.array(["ab"[one % 2] for one in job], object),
    }
    return Examples(columns, label.astype(np.float32))


def context(loss="logistic", previous=None, checkpoints=None):
    where = "model.components.m"
    return FitContext(HardwareSpec(threads=1), 0, where, True, TASKS[loss], checkpoints, previous)


def fitted(examples, loss="logistic", previous=None, **config):
    config = {"fixed": ["job.pay", "job.kind"], "random_effects": EFFECTS, **config}
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": [one.name for one in INPUTS], **config})
    component = Mixed(spec, INPUTS)
    component.fit(examples, examples.take(slice(0, 0)), context(loss, previous))
    return component


@cache
def earlier_fit(loss, factors=False):
    """A model to go on from; no test changes it."""
    examples = make_examples(loss=loss, taste=2.0 * factors)  # without an interaction factors would shrink to nothing
    return fitted(examples, loss, random_effects=BOTH if factors else EFFECTS)


def reloaded(component, folder):
    component.save(folder)
    return Mixed.load(component.spec, INPUTS, folder)


@pytest.mark.parametrize("loss", TASKS)
def test_a_warm_start_leads_to_the_same_model_in_fewer_steps(loss, tmp_path):
    examples, cold = make_examples(loss=loss), earlier_fit(loss)
    warm = fitted(examples, loss, previous=reloaded(cold, tmp_path))
    assert warm.summary()["iterations"] < 0.7 * cold.summary()["iterations"]
    for name, values in cold.score(examples.columns).items():
        np.testing.assert_allclose(warm.score(examples.columns)[name], values, rtol=0.03, atol=0.02)


def test_a_warm_start_knows_old_entities_and_learns_new_ones():
    after = make_examples(members=80, first=40, seed=1)
    warm, cold = fitted(after, previous=earlier_fit("logistic")), fitted(after)
    margins = [one.score(after.columns)["margin"] for one in (warm, cold)]
    np.testing.assert_allclose(*margins, atol=0.06)


def test_a_warm_start_of_factors_keeps_what_they_mean():
    examples = make_examples(8000)
    cold = fitted(examples, random_effects=BOTH)
    warm = fitted(examples, previous=cold, random_effects=BOTH)
    assert warm.summary()["iterations"] < cold.summary()["iterations"]
    margins = [one.score(examples.columns)["margin"] for one in (warm, cold)]
    np.testing.assert_allclose(*margins, atol=0.1)


@pytest.mark.parametrize("loss", TASKS)
@pytest.mark.parametrize("locked", [["fixed"], ["member"], ["fixed", "job"], ["member * job", "job"]])
def test_what_is_locked_stays_as_it_was(loss, locked, tmp_path):
    earlier = reloaded(earlier_fit(loss, factors=True), tmp_path)
    later = make_examples(seed=1, first=20, loss=loss, taste=2.0)
    now = fitted(later, loss, earlier, random_effects=BOTH, locked=locked)
    old, new = earlier._model, now._model
    pairs = {
        "fixed": [
            (old.fixed.numbers, new.fixed.numbers),
            (old.fixed.errors, new.fixed.errors),
            (old.fixed.categories[0], new.fixed.categories[0]),
        ],
        "member": [
            (old.effects[0].means, new.effects[0].means),
            (old.effects[0].population, new.effects[0].population),
        ],
        "job": [(old.effects[1].covariances, new.effects[1].covariances), (old.effects[1].rows, new.effects[1].rows)],
        "member * job": [(old.factors[0].means, new.factors[0].means)],
    }
    for name, arrays in pairs.items():
        same = all(one.shape == other.shape and np.allclose(one, other, rtol=1e-6) for one, other in arrays)
        assert same == (name in locked), name
    assert all(np.isfinite(values).all() for values in now.score(later.columns).values())


@pytest.mark.parametrize("loss", TASKS)
def test_an_update_is_the_direct_solution_for_the_changed_entities(loss, tmp_path):
    """With all else held, the changed entities' coefficients maximise the likelihood of their rows."""
    before = make_examples(loss=loss)
    more = make_examples(300, members=6, seed=5, first=76, loss=loss)  # four members that are known, two that are new
    more.columns["job"][:] = None
    earlier = reloaded(fitted(before, loss, method="pql"), tmp_path)
    now = fitted(before.join(more), loss, earlier, method="pql", update="changed_entities")
    changed = [f"m{one}" for one in range(76, 82)]
    assert _changed_entities(earlier, now) == set(changed)
    np.testing.assert_array_equal(now._model.fixed.numbers, earlier._model.fixed.numbers)
    both, terms = before.join(more), now._terms
    eta = _margin(earlier, both.columns)
    z = terms.slopes(both.columns, terms.effects[0])
    phi, precision = earlier._model.dispersion, np.linalg.inv(earlier._model.effects[0].population)
    for name in changed:
        rows = both.columns["member"] == name
        held = eta[rows] - z[rows] @ _coefficients(earlier, name)
        u = np.zeros(2)
        for _ in range(100):
            _, slope, curve = derivatives(loss, held + z[rows] @ u, both.label[rows].astype(float))
            information = z[rows].T @ (z[rows] * curve[:, None]) / phi + precision
            u += np.linalg.solve(information, z[rows].T @ slope / phi - precision @ u)
        np.testing.assert_allclose(_coefficients(now, name), u, atol=2e-3)
        place = terms.effect_levels[0].encode(Names.of([name]))[0]
        np.testing.assert_allclose(now._model.effects[0].covariances[place], np.linalg.inv(information), atol=2e-3)
        assert now._model.effects[0].rows[place] == rows.sum()


def _margin(component, columns):
    return np.sum([added for _, added in contributions(component._terms, component._model, columns)], axis=0)


def _coefficients(component, name):
    place = component._terms.effect_levels[0].encode(Names.of([name]))[0]
    return np.zeros(2) if place < 0 else component._model.effects[0].means[place].astype(float)


def _changed_entities(earlier, now):
    names = [key.decode() for key in now._terms.effect_levels[0].keys]
    return {one for one in names if not np.array_equal(_coefficients(earlier, one), _coefficients(now, one))}


def test_an_update_without_changes_changes_nothing():
    examples = make_examples(taste=2.0)
    earlier = earlier_fit("logistic", factors=True)
    order = np.random.default_rng(3).permutation(len(examples))
    now = fitted(examples.take(order), previous=earlier, random_effects=BOTH, update="changed_entities")
    margins = [one.score(examples.columns)["margin"] for one in (earlier, now)]
    np.testing.assert_array_equal(*margins)


def test_an_update_keeps_entities_that_have_no_rows_any_more():
    earlier = earlier_fit("logistic")
    now = fitted(make_examples(500, members=5, seed=2), previous=earlier, update="changed_entities")
    np.testing.assert_array_equal(_coefficients(now, "m50"), _coefficients(earlier, "m50"))
    assert len(now._model.effects[0]) == 80


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"locked": ["job"]}, "m.locked: needs an earlier bundle to take it from: set training.warm_start"),
        ({"update": "changed_entities"}, "m.update: needs an earlier bundle"),
    ],
)
def test_without_an_earlier_bundle_nothing_can_be_locked(config, message):
    with pytest.raises(UserError, match=message):
        fitted(make_examples(300), **config)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"fixed": []}, {"locked": ["fixed"]}, "fixed effects are others"),
        ({"random_effects": EFFECTS[:1]}, {"locked": ["job"]}, "has no such effect as 'job'"),
        ({"random_effects": EFFECTS}, {"locked": ["member * job"], "random_effects": BOTH}, "has no such effect"),
        ({"offset": "job.pay", "fixed": []}, {"locked": ["job"]}, "offset or exposure is another one"),
    ],
)
def test_what_an_earlier_bundle_lacks_cannot_be_locked(before, now, message):
    earlier = fitted(make_examples(300), **before)
    with pytest.raises(UserError, match=message):
        fitted(make_examples(300), previous=earlier, **now)


def test_another_loss_starts_afresh_and_says_so(caplog):
    earlier = fitted(make_examples(300))
    with caplog.at_level(logging.WARNING):
        fitted(make_examples(300, loss="poisson"), "poisson", earlier)
    assert "starts afresh: the earlier bundle's loss is 'logistic'" in caplog.text


def test_a_name_that_is_no_effect_is_refused():
    with pytest.raises(ValueError, match=r"no effect 'jobs'. Did you mean 'job'\?"):
        MixedSpec.model_validate({"kind": "mixed", "inputs": ["*"], "random_effects": EFFECTS, "locked": ["jobs"]})


def test_a_digest_depends_on_the_rows_of_an_entity_and_not_on_their_order():
    keys = np.array([b"a", b"bb", b"\xc3\xa4"])
    hashes = row_hashes.of_keys(keys)
    assert len(set(hashes)) == 3
    np.testing.assert_array_equal(hashes[:2], row_hashes.of_keys(keys[:2]))  # however wide the widest name is
    label, codes = np.array([0, 1, 1, 0], np.float32), np.array([0, 1, 0, -1])

    def of(label, codes):
        return row_hashes.by_level(row_hashes.of_rows([label], [(codes, hashes)]), codes, 3)

    found = of(label, codes)
    np.testing.assert_array_equal(of(label[::-1], codes[::-1]), found)
    other = of(np.array([0, 0, 1, 0], np.float32), codes)
    assert list(other == found) == [True, False, True]
    assert found[2] == 0


STEPS = 4
SCRIPT = f"""
import sys
sys.path[:0] = {{paths!r}}
from pathlib import Path
from proml_kedro.models.mixed.memory.checkpoint import Checkpoint
from stopped import stop_after
from test_continuation import fit_with_checkpoints
stop_after(Checkpoint, "save", {STEPS})
fit_with_checkpoints(Path({{folder!r}}), {{method!r}})
"""


def fit_with_checkpoints(folder, method):
    """A fit of many steps that writes a checkpoint after each, with a run's threads: sums depend on their number."""
    import scipy.linalg.lapack  # noqa: F401  # its BLAS is limited only once it is there

    checkpoint.Checkpoint.__init__.__defaults__ = (0.0,)
    examples = make_examples()
    effects = EFFECTS if method == "laplace" else BOTH
    spec = {"kind": "mixed", "inputs": [one.name for one in INPUTS], "random_effects": effects, "method": method}
    component = Mixed(MixedSpec.model_validate(spec), INPUTS)
    with use(HardwareSpec(threads=1)):
        component.fit(examples, examples.take(slice(0, 0)), context(checkpoints=folder))
    return component


@pytest.mark.parametrize("method", ["variational", "laplace"])
def test_a_fit_that_was_killed_goes_on_where_it_stood(method, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("proml_kedro.models.mixed.memory.checkpoint.Checkpoint.__init__.__defaults__", (1.0,))
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    file = tmp_path / "kept" / "state.npz"
    kill_where_it_stops(SCRIPT.format(paths=paths, folder=str(file.parent), method=method))
    assert file.exists()
    with caplog.at_level(logging.INFO):
        resumed = fit_with_checkpoints(file.parent, method)
    assert f"going on after step {STEPS} " in caplog.text
    assert not file.exists()
    whole = fit_with_checkpoints(tmp_path / "other", method)
    assert resumed.summary()["iterations"] == whole.summary()["iterations"] > STEPS
    fresh = make_examples(200, seed=3).columns
    np.testing.assert_array_equal(resumed.score(fresh)["margin"], whole.score(fresh)["margin"])


def test_a_checkpoint_of_other_data_is_not_used(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(checkpoint.Checkpoint.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(checkpoint.Checkpoint, "remove", lambda self: None)
    monkeypatch.setattr(fit, "_WARM_UP", 2)
    examples = make_examples(500)
    spec = MixedSpec.model_validate(
        {"kind": "mixed", "inputs": [one.name for one in INPUTS], "random_effects": EFFECTS}
    )
    for label in (examples.label, 1 - examples.label):
        component = Mixed(spec, INPUTS)
        with caplog.at_level(logging.INFO):
            component.fit(replace(examples, label=label), examples.take(slice(0, 0)), context(checkpoints=tmp_path))
    assert (tmp_path / "state.npz").exists()
    assert "going on" not in caplog.text


@pytest.mark.parametrize("damage", [b"", b"PK half a file", None], ids=["empty", "half", "flipped"])
def test_a_damaged_checkpoint_is_said_and_the_fit_starts_anew(tmp_path, caplog, monkeypatch, damage):
    monkeypatch.setattr(checkpoint.Checkpoint.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(checkpoint.Checkpoint, "remove", lambda self: None)
    examples = make_examples(500)
    spec = MixedSpec.model_validate(
        {"kind": "mixed", "inputs": [one.name for one in INPUTS], "random_effects": EFFECTS}
    )

    def fitted():
        component = Mixed(spec, INPUTS)
        component.fit(examples, examples.take(slice(0, 0)), context(checkpoints=tmp_path))
        return component.score(examples.columns)["margin"]

    whole, file = fitted(), tmp_path / "state.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content if damage is None else damage)
    np.testing.assert_array_equal(fitted(), whole)
    assert "state.npz cannot be read; the fit starts anew" in caplog.text
