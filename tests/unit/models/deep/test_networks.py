"""Random networks train, save, load and score alike; mutated ones fail with one line; training stops and refits."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import ModelSpec, ProblemSpec
from proml_kedro.testing import INPUTS, make_examples
from random_networks import CONTEXT, RICH, check_network, choices, fitted, random_config, through_signature

SAMPLE = (0, 1, 2, 166, 186, 193, 291)
"""Few networks that have between them every choice that a random one can make."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SAMPLE)
def test_random_networks(seed, tmp_path):
    check_network(seed, tmp_path)


def test_the_sample_has_every_choice():
    everything = set().union(*(choices(random_config(seed)) for seed in range(300)))
    assert set().union(*(choices(random_config(seed)) for seed in SAMPLE)) == everything


def mutations(config, chooser):
    """Mistakes, each somewhere in the component; every one of them must be told."""
    name = chooser.choice(list(config["graph"]))
    block = config["graph"][name]
    yield lambda: block.update(of=["nowhere"])
    yield lambda: block.update(of=[])
    yield lambda: block.update(unknown_key=1)
    yield lambda: config["graph"].update(again={"block": "add", "of": "again"}, also={"block": "add", "of": "again"})
    yield lambda: config["graph"].update(left={"block": "concat", "of": "numbers"})
    yield lambda: config["graph"].update({name: {"block": "mlq", "of": "numbers"}})
    head = config.get("head") or config["heads"]["main"]
    yield lambda: head.update(of=["categories"])
    yield lambda: head.update(loss="binry")
    yield lambda: head.update(weight=0)
    yield lambda: config.pop("head", None) or config.pop("heads")
    yield lambda: config["expose"].update(more="nowhere")
    yield lambda: config["expose"].update(more="shop.price")
    yield lambda: config["features"].update(max_categories=0)
    yield lambda: config["features"].update(text={"shop.price": {}})
    yield lambda: config["features"].update(sequences={"shop.*": {}}, text={"shop.n*": {}})
    yield lambda: config["features"].update(crosses={"both": {"of": ["shop.city", "shop.price"], "buckets": 9}})
    yield lambda: config["features"].update(crosses={"numbers": {"of": ["shop.city", "shop.visits"], "buckets": 9}})
    yield lambda: config["features"].update(hash={"shop.city": 1})
    yield lambda: config["features"].update(tables={"t": ["shop.note", "shop.seen"]}, embed={"*": 4, "shop.seen": 5})
    yield lambda: config["training"].update(early_stopping={"metric": "acu"})
    yield lambda: config["training"].update(learning_rate={"schedule": "cosin", "start": 0.1})
    yield lambda: config["graph"].update(bad={"block": "attention", "of": ["shop.city"]})
    yield lambda: config["graph"].update(bad={"block": "attention", "of": ["shop.note", "shop.seen"]})
    yield lambda: config["graph"].update(bad={"block": "cosine", "of": ["shop.note", "shop.seen", "all"]})
    yield lambda: config["graph"].update(bad={"block": "dot", "of": ["shop.note", "shop.embedding"], "scale": 2})
    yield lambda: config["graph"].update(bad={"layer": "GRU", "of": ["shop.city"], "as_sequence": True})
    yield lambda: config["graph"].update(
        bad={"block": "mmoe", "of": "numbers", "tasks": ["a"]}, more={"block": "concat", "of": "bad"}
    )
    yield lambda: config["features"].update(embed=0)
    yield lambda: config["features"].update(buckets={"shop.nothing": 3})
    yield lambda: config["training"].update(batch_size=-1)
    yield lambda: config["graph"].update(bad={"block": "fm", "of": ["embeddings", "numbers"]})


@pytest.mark.parametrize("number", range(31))
@pytest.mark.parametrize("seed", range(3))
def test_mutated_networks_fail_before_training(seed, number):
    config = random_config(seed)
    list(mutations(config, random.Random(seed)))[number]()
    try:
        spec = Deep.Spec.model_validate(config)
    except ValidationError:
        return  # the configuration turns these into lines of its own
    found = spec.check({one.name: one.dtype for one in RICH}, PROBLEM)
    assert found
    assert all(one.key and "\n" not in one.message for one in found)


def test_every_mutation_is_tried():
    assert len(list(mutations(random_config(0), random.Random(0)))) == 31


@pytest.mark.parametrize("seed", range(50))
def test_random_networks_have_no_mistake(seed):
    spec = Deep.Spec.model_validate(random_config(seed))
    assert spec.check({one.name: one.dtype for one in RICH}, PROBLEM) == []


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"layer": "LayerNormalisation", "of": "all"}, "Did you mean 'LayerNormalization'"),
        ({"layer": "LayerNorm", "of": "all"}, "Did you mean 'LayerNormalization'"),
        ({"layer": "Dense", "of": "all"}, "units"),
        ({"layer": "Dense", "of": "all", "config": {"units": 3, "unitz": 4}}, "unitz"),
        ({"layer": "Multiply", "of": "all"}, "list"),
        ({"layer": "Reshape", "of": "all", "config": {"target_shape": [2, 2]}}, "add a Flatten layer"),
        ({"layer": "Dense", "of": "all", "config": {"units": 3, "activation": "rellu"}}, "rellu"),
    ],
)
def test_what_keras_refuses_is_one_line(layer, message):
    config = plain_config(epochs=1)
    config["graph"] = {"all": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [4]}, "x": layer}
    config["head"] = {"of": ["x"]}
    with pytest.raises(UserError) as caught:
        fitted(config)
    assert str(caught.value).startswith("model.components.net.graph.x: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


PROBLEM = ProblemSpec.model_validate(
    {
        "name": "sales",
        "tables": {"visits": {"source": "visits.parquet"}},
        "examples": {"table": "visits", "entities": ["shop"], "timestamp": "at", "group": "list"},
        "label": {"expression": "sold"},
        "auxiliary_labels": {"grade": "grade"},
        "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01"},
    }
)


def plain_config(**training):
    return {
        "kind": "deep",
        "inputs": ["*"],
        "features": {"embed": 4},
        "graph": {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [32, 16]}},
        "head": {"of": "deep"},
        "training": {"batch_size": 64, "learning_rate": 0.02, **training},
    }


def test_training_stops_and_the_best_weights_are_kept():
    """A network that overfits: the longer it is trained, the worse it is, unless it is stopped."""
    stopping = {"metric": "logloss", "patience": 3}
    stopped = fitted(plain_config(epochs=60, early_stopping=stopping), rows=300)
    epochs = stopped.summary()["epochs"]
    assert 0 < epochs < 57
    check = make_examples(64, 2)  # the validation period that it stopped by
    exactly = fitted(plain_config(epochs=epochs), rows=300)
    assert stopped.score(check.columns)["margin"] == pytest.approx(exactly.score(check.columns)["margin"], abs=1e-5)
    longest = fitted(plain_config(epochs=60), rows=300)
    assert log_loss(check, stopped) < 0.9 * log_loss(check, longest)


def test_refit_learns_from_the_validation_period_too():
    stopping = {"metric": "auc"}
    kept, again = (fitted(plain_config(epochs=10, early_stopping=stopping, refit=refit)) for refit in (False, True))
    assert kept.summary() == again.summary()
    fresh = make_examples(50, 5).columns
    assert np.abs(kept.score(fresh)["margin"] - again.score(fresh)["margin"]).max() > 1e-3


@pytest.mark.slow
def test_refit_without_early_stopping_learns_from_both_periods_for_all_epochs():
    found = [fitted(plain_config(epochs=3, refit=refit)).score(FRESH)["margin"] for refit in (False, True)]
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_a_block_may_be_called_like_a_view():
    config = plain_config(epochs=1)
    config |= {"graph": {"shop": {"block": "mlp", "of": ["shop.*"], "units": [4]}}, "head": {"of": "shop"}}
    config["expose"] = {"hidden": "shop", "city": "shop.city"}
    assert {"hidden_3", "city_3"} <= set(fitted(config).score(FRESH))


@pytest.mark.slow
def test_a_number_that_a_head_reads_has_a_weight_that_is_learned():
    """Dear things sell: a weight of 1, whatever is learned, would be far too little."""
    config = plain_config(epochs=30) | {"graph": {"deep": {"block": "mlp", "of": "shop.city", "units": [4]}}}
    config |= {"inputs": ["shop.price", "shop.city"], "head": {"of": ["deep", "shop.price"]}}
    config["features"]["missing"] = "mean"
    train = make_examples(600, 1)
    train = replace(train, label=(train.columns["shop.price"] > 20).astype(np.float32))
    component = Deep(Deep.Spec.model_validate(config), [one for one in INPUTS if one.name in config["inputs"]])
    component.fit(train, train, CONTEXT)
    fresh = {"shop.price": np.array([20.0, 25.0]), "shop.city": np.array(["Oslo", "Oslo"], object)}
    low, high = component.score(fresh)["margin"]
    assert high - low > 2


@pytest.mark.slow
def test_the_saved_model_takes_numbers_beyond_single_precision(tmp_path):
    config = plain_config(epochs=1)
    train = make_examples(200, 1)
    ids = 2.0**40 + np.arange(200)
    train = replace(train, columns=dict(train.columns) | {"shop.visits": ids})
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    component.fit(train, train, CONTEXT)
    component.save(tmp_path)
    scores = component.score(train.columns)["margin"]
    assert np.ptp(scores) > 0.01
    assert through_signature(tmp_path / "saved_model", train.columns)["margin"] == pytest.approx(scores, abs=1e-5)


FRESH = make_examples(50, 5).columns


def log_loss(examples, component):
    probability = component.score(examples.columns)["probability"]
    return -np.mean(np.where(examples.label == 1, np.log(probability), np.log1p(-probability)))


def test_a_network_feeds_other_components(tmp_path):
    components = {
        "trees": {"kind": "xgboost", "inputs": ["tower.margin", "tower.deep_*", "shop.visits"], "num_boost_round": 5},
        "tower": {**plain_config(epochs=2), "expose": {"deep": "deep"}},
    }
    dtypes = {one.name: one.dtype for one in INPUTS}
    graph = ModelGraph(ModelSpec(name="m", components=components, score="trees"), dtypes)
    graph.fit(make_examples(200, 1), make_examples(64, 2), CONTEXT)
    graph.save(tmp_path)
    fresh = make_examples(30, 3).columns
    assert np.abs(ModelGraph.load(graph.spec, dtypes, tmp_path).score(fresh) - graph.score(fresh)).max() < 1e-6


def test_a_mistake_names_its_place_in_the_model():
    components = {"tower": {**plain_config(), "head": {"of": "dep"}}}
    with pytest.raises(UserError, match=r"^model\.components\.tower\.head\.of\.0: no block or input 'dep'"):
        ModelGraph(ModelSpec(name="m", components=components, score="tower"), {one.name: one.dtype for one in INPUTS})


def test_a_vocabulary_without_categories_is_refused():
    config = plain_config(epochs=1)
    config["features"]["min_count"] = 10_000
    with pytest.raises(UserError, match=r"net\.features.min_count: no category of shop.city occurs 10000 times"):
        fitted(config)


def test_auc_needs_two_classes_to_stop_by():
    config = plain_config(early_stopping={"metric": "auc"})
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    check = make_examples(64, 2)
    with pytest.raises(UserError, match=r"net\.training.early_stopping.metric: the validation period has one class"):
        component.fit(make_examples(128, 1), check.take(check.label == 1), CONTEXT)
