"""Random networks: built, trained for a step, saved, loaded and scored alike; mutated ones fail with one line."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.models.component import FitContext
from proml_kedro.models.deep.blocks import blocks
from proml_kedro.models.deep.build import run
from proml_kedro.models.deep.check import check
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.testing import INPUTS, make_examples

CONTEXT = FitContext(HardwareSpec(threads=1), seed=3, key="model.components.net")
SOURCES = ["numbers", "embeddings", "shop.price", "shop.*"]


def random_config(seed):
    """A sound component: every block reads only inputs and earlier blocks, and the head what nothing else reads."""
    chooser = random.Random(seed)
    embed = chooser.choice([4, 6])
    graph = {"all": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [embed]}}
    vectors = ["all"]  # blocks that are as wide as an embedding
    for number in range(chooser.randint(1, 5)):
        name = f"n{number}"
        graph[name] = chooser.choice(_KINDS)(chooser, [*SOURCES, *graph], vectors, embed)
        if graph[name].get("units", [None])[-1] == embed or graph[name].get("block") == "add":
            vectors.append(name)
    read = {one for block in graph.values() for one in block["of"]}
    names = list(graph)
    chooser.shuffle(names)  # in any order
    return {
        "kind": "deep",
        "inputs": ["*"],
        "features": {
            "embed": embed,
            "numeric": chooser.choice(["standardize", "log", "quantile", {"*": "log", "shop.price": "quantile"}]),
            "missing": chooser.choice(["indicator", "mean"]),
            "buckets": {"shop.visits": chooser.randint(2, 8)},
            "min_count": chooser.randint(1, 5),
        },
        "graph": {name: graph[name] for name in names},
        "head": {"of": [name for name in graph if name not in read]},
        "training": {"epochs": 1, "batch_size": 64, "weight_decay": chooser.choice([0.0, 0.01])},
    }


def some(chooser, names):
    return chooser.sample(names, chooser.randint(1, min(3, len(names))))


_KINDS = [
    lambda c, names, vectors, d: {
        "block": "mlp",
        "of": some(c, names),
        "units": [5, c.choice([3, d])],
        "dropout": c.choice([0.0, 0.2]),
        "batch_norm": c.random() < 0.3,
        "l2": c.choice([0.0, 0.01]),
    },
    lambda c, names, vectors, d: {"block": "cross", "of": some(c, names), "rank": c.choice([None, 2]), "layers": 1},
    lambda c, names, vectors, d: {"block": "linear", "of": some(c, [*names, "categories", "shop.city"])},
    lambda c, names, vectors, d: {"block": "fm", "of": ["embeddings", *some(c, vectors)]},
    lambda c, names, vectors, d: {"block": "dot_interaction", "of": ["embeddings", *some(c, vectors)]},
    lambda c, names, vectors, d: {"block": "add", "of": [*some(c, vectors), "embeddings"]},
    lambda c, names, vectors, d: {"block": "concat", "of": some(c, names)},
    lambda c, names, vectors, d: {"layer": "LayerNormalization", "of": some(c, names)},
    lambda c, names, vectors, d: {"layer": "Dense", "of": some(c, names), "config": {"units": 3}},
    lambda c, names, vectors, d: {"layer": "Average", "of": ["all", *some(c, vectors)], "as_list": True},
]


def fitted(config, rows=128):
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    component.fit(make_examples(rows, 1), make_examples(64, 2), CONTEXT)
    return component


def check_network(seed, folder):
    config = random_config(seed)
    component = fitted(config)
    fresh = make_examples(40, 3).columns
    margin = component.score(fresh)["margin"]
    assert margin.shape == (40,)
    assert np.isfinite(margin).all()
    component.save(folder)
    loaded = Deep.load(component.spec, INPUTS, folder)
    assert np.abs(loaded.score(fresh)["margin"] - margin).max() < 1e-6
    check_gradients(component)


def check_gradients(component):
    """The margin depends on every number and on an embedding or weight of every category."""
    import tensorflow as tf

    network = component._fitted
    examples = make_examples(256, 4)
    numbers, ids = map(tf.constant, network.preprocess.encode(examples.columns))
    with tf.GradientTape() as tape:
        tape.watch(numbers)
        (margin,) = run(network.model, numbers, ids, training=False)
    reached = np.abs(tape.gradient(margin, numbers).numpy()).sum(axis=0)
    assert (reached > 0).all()
    for column in range(ids.shape[1]):
        other = np.array(ids)
        other[:, column] = (other[:, column] + 1) % 3
        (changed,) = run(network.model, numbers, tf.constant(other), training=False)
        assert np.abs(changed.numpy() - margin.numpy()).max() > 0


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed, tmp_path):
    check_network(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 50))
def test_more_random_networks(seed, tmp_path):
    check_network(seed, tmp_path)


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
    yield lambda: config["head"].update(of=["categories"])
    yield lambda: config["features"].update(embed=0)
    yield lambda: config["features"].update(buckets={"shop.nothing": 3})
    yield lambda: config["training"].update(batch_size=-1)
    yield lambda: config["graph"].update(bad={"block": "fm", "of": ["embeddings", "numbers"]})


@pytest.mark.parametrize("seed", range(60))
def test_mutated_networks_fail_before_training(seed):
    chooser = random.Random(seed)
    config = random_config(seed)
    chooser.choice(list(mutations(config, chooser)))()
    try:
        spec = Deep.Spec.model_validate(config)
    except ValidationError:
        return  # the configuration turns these into lines of its own
    found = check(spec, {one.name: one.dtype for one in INPUTS})
    assert found
    assert all(one.key and "\n" not in one.message for one in found)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"layer": "LayerNormalisation", "of": "all"}, "Did you mean 'LayerNormalization'"),
        ({"layer": "Dense", "of": "all"}, "units"),
        ({"layer": "Dense", "of": "all", "config": {"units": 3, "unitz": 4}}, "unitz"),
        ({"layer": "Multiply", "of": "all"}, "list"),
        ({"layer": "Reshape", "of": "all", "config": {"target_shape": [2, 2]}}, "add a Flatten layer"),
        ({"layer": "Dense", "of": "all", "config": {"units": 3, "activation": "rellu"}}, "rellu"),
    ],
)
def test_what_keras_refuses_is_one_line(layer, message):
    config = random_config(0)
    config["graph"] = {"all": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [4]}, "x": layer}
    config["head"] = {"of": ["x"]}
    with pytest.raises(UserError) as caught:
        fitted(config)
    assert str(caught.value).startswith("model.components.net.graph.x: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


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


def log_loss(examples, component):
    probability = component.score(examples.columns)["probability"]
    return -np.mean(np.where(examples.label == 1, np.log(probability), np.log1p(-probability)))


def test_a_network_feeds_other_components(tmp_path):
    components = {
        "trees": {"kind": "xgboost", "inputs": ["tower.margin", "shop.visits"], "num_boost_round": 5},
        "tower": plain_config(epochs=2),
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


def test_the_block_of_the_documentation_works():
    text = (Path(__file__).parents[4] / "docs/explanation/deep-models.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    try:
        exec(compile(source, "deep-models.md", "exec"), {"__name__": "my_blocks"})
        config = plain_config(epochs=1)
        config["graph"] |= {"gated": {"block": "gate", "of": ["embeddings", "deep"]}}
        config["head"] = {"of": "gated"}
        assert np.isfinite(fitted(config).score(make_examples(5).columns)["margin"]).all()
    finally:
        blocks._objects.pop("gate", None)


def test_a_vocabulary_without_categories_is_refused():
    config = random_config(0)
    config["features"]["min_count"] = 10_000
    with pytest.raises(UserError, match=r"net\.features.min_count: no category of shop.city occurs 10000 times"):
        fitted(config)


def test_auc_needs_two_classes_to_stop_by():
    config = random_config(0)
    config["training"]["early_stopping"] = {"metric": "auc"}
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    check = make_examples(64, 2)
    with pytest.raises(UserError, match=r"net\.training.early_stopping.metric: the validation period has one class"):
        component.fit(make_examples(128, 1), check.take(check.label == 1), CONTEXT)
