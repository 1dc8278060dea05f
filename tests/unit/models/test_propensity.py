"""Inverse propensities from logged places: a simulation whose truth is known, and loops."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.xgboost.component import XGBoost
from proml_kedro.models.xgboost.propensity import Propensity
from proml_kedro.models.xgboost.spec import PropensitySpec, XGBoostSpec
from proml_kedro.spec import RunSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import check
from small import make_config

POWER = 0.8
INPUTS = [Input("shop.x", "float"), Input("shop.z", "float"), Input("shop.place", "int")]
CONTEXT = FitContext(HardwareSpec(threads=1), seed=1, final=False)


def clicks(seed, lists=4000, of=10):
    """Lists in the order of z, mostly; who looks at a place clicks by x and z, and looks less at later places."""
    generator = np.random.default_rng(seed)
    x, z = generator.normal(size=(2, lists, of))
    order = np.argsort(-(z + 0.5 * generator.normal(size=(lists, of))), axis=1)
    x, z = (np.take_along_axis(one, order, axis=1).ravel() for one in (x, z))
    place = np.tile(np.arange(1, of + 1), lists)
    relevance = np.exp(np.minimum(-2 + 0.7 * x + 0.5 * z, 0))
    label = (generator.random(len(x)) < relevance * place**-POWER).astype(float)
    columns = {"shop.x": x.astype(np.float32), "shop.z": z.astype(np.float32), "shop.place": place.astype(np.float32)}
    return Examples(columns, label, group=np.repeat(np.arange(lists), of)), relevance


def fit(examples, **config):
    spec = XGBoostSpec.model_validate(
        {"kind": "xgboost", "inputs": ["*"], "objective": "pairwise", "num_boost_round": 40, **config}
    )
    trees = XGBoost(spec, INPUTS)
    trees.fit(examples, examples, CONTEXT)
    return trees


@pytest.mark.parametrize("curve", ["power", pytest.param("each", marks=pytest.mark.slow)])
def test_places_are_looked_at_as_they_were(curve):
    examples, _ = clicks(1)
    found = Propensity.of(PropensitySpec(position="shop.place", curve=curve), examples, INPUTS[:2], CONTEXT)
    assert found.places.tolist() == list(range(1, 11))
    assert found.looks[0] == 1
    truth = np.arange(1, 11) ** -POWER
    assert np.abs(found.looks / truth - 1).max() < (0.12 if curve == "power" else 0.2)
    naive = np.bincount(examples.columns["shop.place"].astype(int), examples.label)[1:]
    assert (naive / naive[0] / truth)[-1] < 0.75, "rates alone take the order of the list for the place's doing"


def test_weights_are_one_over_looks_of_clicks_alone():
    examples, _ = clicks(2, lists=300)
    spec = PropensitySpec(position="shop.place", at_most=3)
    found = Propensity.of(spec, examples, INPUTS[:2], CONTEXT)
    weight = found.weighed(Examples(examples.columns, examples.label, np.full(3000, 2.0), examples.group)).weight
    for row in range(0, 3000, 17):
        look = found.looks[int(examples.columns["shop.place"][row]) - 1]
        assert weight[row] == (2 * min(1 / look, 3) if examples.label[row] else 2)


@pytest.mark.slow
def test_trees_learn_what_is_relevant_and_not_what_was_shown_first(tmp_path):
    """z decides the place, so that clicks say too much of it; x does not. In truth it counts .5 / .7 of x."""
    examples, _ = clicks(3)
    fresh, _ = clicks(4, lists=500)
    found = {}
    for name, extra in (("weighed", {"propensity": {"position": "shop.place"}}), ("as clicked", {})):
        trees = fit(examples, **extra) if extra else fit(_without_place(examples))
        design = np.stack([np.ones(len(fresh)), fresh.columns["shop.x"], fresh.columns["shop.z"]], axis=1)
        _, of_x, of_z = np.linalg.lstsq(design, trees.score(fresh.columns)["margin"], rcond=None)[0]
        found[name] = of_z / of_x
        if extra:
            facts = trees.summary()["looked at, by place"]
            assert facts["10"] == pytest.approx(10**-POWER, rel=0.12)
            assert trees.importance()["shop.place"] == 0
            explained = trees.explain(fresh.columns)
            assert not explained.contributions["shop.place"].any()
            moved = {**fresh.columns, "shop.place": fresh.columns["shop.place"][::-1]}
            assert (trees.score(moved)["margin"] == trees.score(fresh.columns)["margin"]).all()
            trees.save(tmp_path)
            loaded = XGBoost.load(trees.spec, INPUTS, tmp_path).score(fresh.columns)
            assert np.allclose(loaded["margin"], trees.score(fresh.columns)["margin"], atol=1e-6)
    assert found["as clicked"] > 1.4
    assert found["weighed"] < 1.1


def _without_place(examples):
    """What a model that knows nothing of places is given."""
    place = np.ones(len(examples), np.float32)
    return Examples({**examples.columns, "shop.place": place}, examples.label, group=examples.group)


@pytest.mark.parametrize(("place", "message"), [(0.0, "is 0 in a row; places are"), (np.nan, "is missing in 1 rows")])
def test_places_that_are_none_are_refused(place, message):
    examples, _ = clicks(5, lists=50)
    examples.columns["shop.place"][np.flatnonzero(examples.label)[0]] = place
    with pytest.raises(UserError) as caught:
        fit(examples, propensity={"position": "shop.place"})
    (mistake,) = caught.value.mistakes
    assert mistake.key == "model.propensity.position"
    assert message in mistake.message


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"objective": "pointwise"}, "propensity", "write objective: pairwise or listwise"),
        ({"propensity": {"position": "visit.no"}}, "propensity.position", "It has to be one of inputs."),
        ({"propensity": {"position": "visit.city"}}, "propensity.position", "'visit.city' is no number"),
        ({"inputs": ["visit.items"]}, "inputs", "there is no input but 'visit.items'"),
    ],
)
def test_mistakes(config, key, message):
    trees = {"kind": "xgboost", "inputs": ["*"], "objective": "pairwise", "propensity": {"position": "visit.items"}}
    made = make_config({"trees": {**trees, **config}})
    made["problem"]["examples"] |= {"group": "visit"}
    found = {one.key: one.message for one in check(RunSpec.model_validate(made))}
    assert message in found[f"model.components.trees.{key}"]
