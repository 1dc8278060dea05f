"""Random networks: built, trained for a step, saved, loaded and scored alike; mutated ones fail with one line."""

from __future__ import annotations

import random

import numpy as np
import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.build import run
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.export import argument
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import HardwareSpec, ModelSpec, ProblemSpec
from proml_kedro.testing import INPUTS, VECTOR, make_examples

CONTEXT = FitContext(HardwareSpec(threads=1), seed=3, key="model.components.net")
RICH = (*INPUTS, VECTOR, Input("shop.note", "str"), Input("shop.seen", "str"))
"""One input of every kind: numbers, a category, a vector, a text and a sequence."""
SOURCES = ["numbers", "embeddings", "vectors", "shop.price", "shop.note", "shop.*"]
WORDS = np.array(["Rain", "snow", "Sun", "wind"], dtype=object)


def make_rich(rows, seed):
    examples = make_examples(rows, seed, (*INPUTS, VECTOR))
    generator = np.random.default_rng(seed)
    columns = dict(examples.columns)
    for name, separator in (("shop.note", ", "), ("shop.seen", ";")):
        picked = [separator.join(generator.choice(WORDS, generator.integers(0, 6))) or None for _ in range(rows)]
        columns[name] = np.array(picked, dtype=object)
    grade = generator.integers(0, 3, rows).astype(np.float32)
    grade[::4] = np.nan
    group = generator.integers(0, rows // 4, rows)
    return Examples(columns, examples.label, group=group, labels={"grade": grade})


def random_config(seed):
    """A sound component: every block reads only inputs and earlier blocks, and heads what nothing else reads."""
    chooser = random.Random(seed)
    embed = chooser.choice([4, 6])
    graph = {"all": {"block": "mlp", "of": ["numbers", "vectors", "embeddings"], "units": [embed]}}
    vectors = ["all"]  # blocks that are as wide as an embedding
    names = list(SOURCES)
    for number in range(chooser.randint(1, 6)):
        name = f"n{number}"
        block = graph[name] = chooser.choice(_KINDS)(chooser, [*names, *_referred(graph)], vectors, embed)
        is_pooled = block.get("block") in ("add", "attention")
        if is_pooled or (block.get("block") in ("mlp", "mmoe") and block["units"][-1] == embed):
            vectors += _referred({name: block})
    read = {one for block in graph.values() for one in block["of"]}
    left = [one for one in _referred(graph) if one not in read]
    shuffled = list(graph)
    chooser.shuffle(shuffled)  # in any order
    return {
        "kind": "deep",
        "inputs": ["*"],
        "features": _random_features(chooser, embed),
        "graph": {name: graph[name] for name in shuffled},
        **_random_heads(chooser, left),
        "expose": chooser.choice([{}, {"town": "shop.city", "hidden": "all"}]),
        "training": {
            "epochs": 1,
            "batch_size": 64,
            "weight_decay": chooser.choice([0.0, 0.01]),
            "learning_rate": chooser.choice([0.001, {"schedule": "cosine", "start": 0.01, "warmup": 0.5}]),
            "rows_in_memory": chooser.choice([1000, 70]),
        },
    }


def _referred(graph):
    """What the vectors of blocks are called."""
    return [
        one
        for name, block in graph.items()
        for one in ([f"{name}.{task}" for task in block.get("tasks", [])] or [name])
    ]


def _random_features(chooser, embed):
    return {
        "embed": embed,
        "numeric": chooser.choice(["standardize", "log", "quantile", {"*": "log", "shop.price": "quantile"}]),
        "missing": chooser.choice(["indicator", "mean"]),
        "buckets": {"shop.visits": chooser.randint(2, 8)},
        "min_count": chooser.randint(1, 5),
        "max_categories": chooser.choice([None, 3]),
        "hash": chooser.choice([{}, {"shop.city": 20}]),
        "text": {"shop.note": {"words": 3, "pooling": chooser.choice(["mean", "sum", "max"])}},
        "sequences": {"shop.seen": {"items": 4, "separator": ";", "keep": chooser.choice(["first", "last"])}},
        "crosses": chooser.choice([{}, {"both": {"of": ["shop.city", "shop.visits"], "buckets": 30}}]),
        "tables": chooser.choice([{}, {"weather": ["shop.note", "shop.seen"]}]),
    }


def _random_heads(chooser, left):
    if chooser.random() < 0.5:
        return {"head": {"of": left, "loss": chooser.choice(["binary", "pairwise", "listwise"])}}
    others = [
        {"loss": "categorical", "classes": 3},
        {"loss": "quantile"},
        {"loss": "huber", "delta": 0.5},
        {"loss": "squared", "weight": 0.1},
        {"loss": "poisson"},
    ]
    return {"heads": {"main": {"of": left}, "side": {"of": left, "label": "grade", **chooser.choice(others)}}}


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
        "last_activation": c.choice([None, "linear"]),
    },
    lambda c, names, vectors, d: {"block": "cross", "of": some(c, names), "rank": c.choice([None, 2]), "layers": 1},
    lambda c, names, vectors, d: {"block": "linear", "of": some(c, [*names, "categories", "shop.city"])},
    lambda c, names, vectors, d: {"block": "fm", "of": ["embeddings", *some(c, vectors)]},
    lambda c, names, vectors, d: {"block": "dot_interaction", "of": ["embeddings", *some(c, vectors)]},
    lambda c, names, vectors, d: {"block": "add", "of": [*some(c, vectors), "embeddings"]},
    lambda c, names, vectors, d: {"block": "concat", "of": some(c, names)},
    lambda c, names, vectors, d: {"block": c.choice(["cosine", "dot"]), "of": ["shop.note", c.choice(vectors)]},
    lambda c, names, vectors, d: {"block": "l2_normalize", "of": some(c, names)},
    lambda c, names, vectors, d: {"block": "mmoe", "of": some(c, names), "units": [4, d], "tasks": ["a", "b"]},
    lambda c, names, vectors, d: {
        "block": "attention",
        "of": [c.choice(["shop.note", "shop.seen"]), *some(c, vectors)],
    },
    lambda c, names, vectors, d: {"block": "attention", "of": ["shop.seen"], "units": 3},
    lambda c, names, vectors, d: {"layer": "LSTM", "of": ["shop.seen"], "as_sequence": True, "config": {"units": 3}},
    lambda c, names, vectors, d: {"layer": "Dense", "of": some(c, names), "config": {"units": 3}},
    lambda c, names, vectors, d: {"layer": "Average", "of": ["all", *some(c, vectors)], "as_list": True},
]


def fitted(config, rows=128, inputs=INPUTS, make=make_examples):
    component = Deep(Deep.Spec.model_validate(config), inputs)
    component.fit(make(rows, 1), make(64, 2), CONTEXT)
    return component


def check_network(seed, folder):
    component = fitted(random_config(seed), 256, RICH, make_rich)
    fresh = make_rich(40, 3).columns
    scores = component.score(fresh)
    assert set(scores) == set(component.spec.output_names("binary"))
    for values in scores.values():
        assert values.shape == (40,)
        assert np.isfinite(values).all()
    component.save(folder)
    loaded = Deep.load(component.spec, RICH, folder)
    signed = through_signature(folder / "saved_model", fresh)
    for name, values in scores.items():
        assert np.abs(loaded.score(fresh)[name] - values).max() < 1e-6
        assert signed[name] == pytest.approx(values, abs=1e-5, rel=1e-5)
    for part in (slice(0, 1), slice(None, None, -1)):
        alone = component.score({name: values[part] for name, values in fresh.items()})
        assert all(alone[name] == pytest.approx(values[part], abs=1e-5) for name, values in scores.items())
    check_gradients(component)


def through_signature(folder, columns):
    """What the saved model gives for raw values."""
    import tensorflow as tf

    saved = tf.saved_model.load(str(folder))
    signature = saved.signatures["serving_default"]
    values = {
        argument(name): tf.constant(
            ["" if one is None else one for one in values] if values.dtype == object else values
        )
        for name, values in columns.items()
    }
    return {name: value.numpy() for name, value in signature(**values).items()}


def check_gradients(component):
    """The heads depend on every number, and on an embedding or weight of every category, word and item."""
    import tensorflow as tf

    network = component._fitted
    numbers, ids = map(tf.constant, network.preprocess.encode(make_rich(256, 4).columns))
    heads = len(component._heads)

    def margins(numbers, ids):
        return tf.concat(run(network.model, numbers, ids, training=False)[:heads], axis=1)

    with tf.GradientTape() as tape:
        tape.watch(numbers)
        found = margins(numbers, ids)
    reached = np.abs(tape.gradient(found, numbers).numpy()).sum(axis=0)
    assert (reached > 0).all()
    for column in range(ids.shape[1]):
        other = np.array(ids)
        other[:, column] = (other[:, column] + 1) % 3
        assert np.abs(margins(numbers, tf.constant(other)).numpy() - found.numpy()).max() > 0


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
