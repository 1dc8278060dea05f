"""What a network expects of a category that it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.statistics import FIRST, UNKNOWN
from proml_kedro.models.deep.unknown import Hiding, UnknownCounts
from proml_kedro.spec import HardwareSpec

CONTEXT = FitContext(HardwareSpec(threads=1), seed=0, key="net")
INPUTS = [Input("shop.city", "str"), Input("shop.price", "float")]
LAYOUT = lay_out(
    DeepFeaturesSpec(sequences={"a.seen": {"items": 3}}, hash={"a.user": 50}),
    {"a.city": "str", "a.seen": "str", "a.user": "str"},
)


def cities(rows, seed):
    """Twenty cities that differ by far, and 41 % of all labels true."""
    generator = np.random.default_rng(seed)
    share = np.tile([0.06, 0.26, 0.41, 0.56, 0.76], 4)
    city = generator.integers(0, len(share), rows)
    columns = {
        "shop.city": np.array([f"city{one}" for one in city], dtype=object),
        "shop.price": generator.normal(size=rows),
    }
    return Examples(columns, (generator.random(rows) < share[city]).astype(np.float32))


def fitted(seed, train=None, **features):
    config = {
        "kind": "deep",
        "inputs": ["*"],
        "features": {"embed": 8, **features},
        "graph": {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [32, 16]}},
        "head": {"of": "deep"},
        "training": {
            "epochs": 12,
            "batch_size": 256,
            "learning_rate": {"schedule": "cosine", "start": 0.01, "end": 1e-4},
        },
    }
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    component.fit(train or cities(4000, seed), cities(400, 100 + seed), replace(CONTEXT, seed=seed))
    return component


def expected_of_unseen(seed, **features):
    component = fitted(seed, **features)
    fresh = cities(500, 200 + seed)
    known = component.score(fresh.columns)["probability"]
    unseen = component.score(dict(fresh.columns) | {"shop.city": np.full(500, "Nowhere", object)})["probability"]
    return np.std(known), unseen.mean()


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 1, 3, 4))])
def test_an_unseen_category_is_as_likely_as_all_together(seed):
    """A vector that nothing has trained gives seed 2 a probability of 0.49."""
    spread, mean = expected_of_unseen(seed)
    assert spread > 0.2  # it tells the cities apart
    assert mean == pytest.approx(0.41, abs=0.06)


def test_what_training_has_not_met_has_the_score_of_what_is_unknown(tmp_path):
    """Vectors of empty bins and of missing values are as they were drawn, and so is the weight of an indicator."""
    train = cities(4000, 2)
    component = fitted(2, train, hash={"shop.city": 500})
    component.save(tmp_path)
    names = np.array([None, *(f"village{one}" for one in range(300))], object)
    mean = np.float64(train.columns["shop.price"].mean())
    for one in (component, Deep.load(component.spec, INPUTS, tmp_path)):
        unseen = one.score({"shop.city": names, "shop.price": np.full(301, mean)})["probability"]
        assert unseen[0] == pytest.approx(0.41, abs=0.07)
        assert np.mean(np.isclose(unseen, unseen[0], atol=1e-6)) > 0.9  # few fall into the twenty bins of the towns
        without = one.score({"shop.city": names, "shop.price": np.full(301, np.nan)})["probability"]
        assert without == pytest.approx(unseen, abs=1e-5)


def hidden(layout, unknown, share=0.1, rows=20_000, seed=1):
    hiding = Hiding(layout, share, unknown)
    ids = np.full((rows, layout.id_count), FIRST + 3, np.int32)
    return np.asarray(hiding.hide(ids, np.arange(rows), hiding.draw(seed, 0, 0))) == UNKNOWN


def test_a_share_of_each_column_is_hidden_beside_what_is_unknown_anyway():
    found = hidden(LAYOUT, [0.0, 0.05, 0.0]).mean(axis=0)
    assert found[0] == pytest.approx(0.1, abs=0.01)
    assert found[1:4] == pytest.approx(0.05 / 0.95, abs=0.01)
    assert found[4] == pytest.approx(0.1, abs=0.01)
    assert not hidden(LAYOUT, [0.1, 1.0, 0.2]).any()
    assert not hidden(lay_out(DeepFeaturesSpec(buckets={"*": 3}), {"a.x": "float"}), [0.0]).any()
    assert not hidden(LAYOUT, [0.0, 0.0, 0.0], share=0.0).any()


def test_what_is_hidden_in_a_column_depends_on_no_other_and_changes_with_the_epoch():
    alone = lay_out(DeepFeaturesSpec(), {"a.city": "str"})
    longer = lay_out(DeepFeaturesSpec(sequences={"a.seen": {"items": 7}}), {"a.seen": "str", "a.city": "str"})
    several = hidden(LAYOUT, [0.0, 0.0, 0.0])
    assert np.array_equal(several[:, 0], hidden(alone, [0.0])[:, 0])
    assert np.array_equal(several[:, 1:4], hidden(longer, [0.0, 0.0])[:, :3])
    again = hidden(LAYOUT, [0.0, 0.0, 0.0], seed=2)
    both = np.mean(several[:, :4] & again[:, :4], axis=0)
    assert both == pytest.approx(0.01, abs=0.005)
    assert np.mean(several[:, 0] & several[:, 1]) == pytest.approx(0.01, abs=0.005)


def test_ids_that_are_missing_or_unknown_stay_as_they_are():
    hiding = Hiding(LAYOUT, 0.5, [0.0, 0.0, 0.0])
    ids = np.tile(np.array([0, 1, 0, 1, 0], np.int32), (100, 1))
    assert np.array_equal(hiding.hide(ids, np.arange(100), hiding.draw(1, 0, 0)), ids)


def test_unknown_ids_are_counted_by_input():
    counts = UnknownCounts(LAYOUT)
    counts.add(np.array([[1, 2, 1, 0, 5], [7, 2, 0, 0, 6]]))
    counts.add(np.array([[8, 0, 0, 0, 6]]))
    assert counts.shares() == pytest.approx([1 / 3, 1 / 3, 0])
