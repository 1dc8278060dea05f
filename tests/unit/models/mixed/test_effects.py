"""The effects of a fitted model one by one, and how many there are."""

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.effects import most_different, of_entity
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.spec import HardwareSpec

FEATURES = ["intercept", "visit.rain"]


class Watched:
    """Posterior means that count how often a coefficient of all entities is read."""

    def __init__(self, values):
        self.values, self.read = values, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, place):
        self.read += isinstance(place, tuple) and isinstance(place[0], slice)
        return self.values[place]


@pytest.fixture
def shops():
    """Two hundred shops, many of which have the same effect."""
    generator = np.random.default_rng(0)
    effects = [{"entity": "shop", "features": FEATURES}]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": ["shop", "visit.rain"], "random_effects": effects})
    terms = Terms(spec, [Input("shop", "str"), Input("visit.rain", "float")])
    terms.take_over({}, Levels(np.char.mod("s%03d", np.arange(200)).astype(bytes)))
    means = generator.normal(size=(200, 2)).round(1).astype(np.float32)
    covariances = generator.uniform(0.1, 0.2, (200, 2, 2)).astype(np.float32)
    effect = FittedEffect(
        Watched(means), covariances, np.arange(200, dtype=np.float32), np.array([[0.5, 0.1], [0.1, 0.3]])
    )
    return terms, FittedModel(effects=[effect])


def test_those_that_differ_most_are_placed_among_all(shops):
    terms, model = shops
    effect = model.effects[0]
    for count in (1, 30, 200, 1000):
        found = list(most_different(terms, model, count))
        assert len(found) == 2 * min(count, 200)
        for one in found:
            place, position = int(one.entity[1:]), FEATURES.index(one.feature)
            values = effect.means.values[:, position]
            assert one.value == values[place]
            assert one.quantile == pytest.approx(np.mean(values < values[place]))
            assert one.error == pytest.approx(np.sqrt(effect.covariances[place, position, position]))
            assert one.population == pytest.approx(np.sqrt(effect.population[position, position]))
            assert one.rows == place
        sizes = [abs(one.value) for one in found if one.feature == "visit.rain"]
        assert sizes == sorted(np.abs(effect.means.values[:, 1]).tolist(), reverse=True)[:count]


def test_one_shop_has_the_same_effects_as_among_those_that_differ_most(shops):
    terms, model = shops
    among_all = {(one.entity, one.feature): one for one in most_different(terms, model, 200)}
    assert list(of_entity(terms, model, {"shop": "s042"})) == [among_all["s042", name] for name in FEATURES]


def test_however_many_are_shown_they_are_placed_in_one_go(shops):
    terms, model = shops
    list(most_different(terms, model, 100))
    assert model.effects[0].means.read == len(FEATURES)


@pytest.mark.parametrize("jobs", [0, 7])
@pytest.mark.filterwarnings("error")
def test_a_field_of_factors_that_nobody_has_counts_nobody(jobs):
    place = np.arange(400)
    columns = {
        "member": np.char.mod("m%d", place % 30).astype(object),
        "job": np.char.mod("j%d", place % 7).astype(object) if jobs else np.full(400, None, object),
    }
    examples = Examples(columns, np.random.default_rng(0).integers(0, 2, 400).astype(np.float32))
    effects = [{"entity": "member"}, {"kind": "factors", "entity": ["member", "job"], "rank": 2}]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": ["member", "job"], "random_effects": effects})
    component = Mixed(spec, [Input("member", "str"), Input("job", "str")])
    component.fit(examples, examples.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0))
    assert [one.entities for one in component.population()] == [30, 30 + jobs]
    assert np.isfinite(component.score(columns)["margin"]).all()
