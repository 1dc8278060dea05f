"""Random networks of every kind of block, head and input, and what must hold of each."""

from __future__ import annotations

import random

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.build import run
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.export import argument
from proml_kedro.spec import HardwareSpec
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


def choices(config):
    """What a random component has chosen: kinds of blocks and heads, and the values of their keys."""
    blocks = [(block.get("block") or block["layer"], block) for block in config["graph"].values()]
    heads = [config["head"]] if "head" in config else config["heads"].values()
    features, optional = config["features"], ("rank", "dropout", "batch_norm", "l2", "last_activation")
    return {
        *(kind for kind, _ in blocks),
        *((kind, len(block["of"]) > 1, block["of"][0]) for kind, block in blocks if kind == "attention"),
        *((kind, key, bool(block[key])) for kind, block in blocks for key in optional if key in block),
        *(("loss", head.get("loss", "binary")) for head in heads),
        *((key, str(features[key])) for key in ("numeric", "missing", "max_categories", "hash", "crosses", "tables")),
        ("pooling", features["text"]["shop.note"]["pooling"]),
        ("keep", features["sequences"]["shop.seen"]["keep"]),
        ("expose", bool(config["expose"])),
        *((key, str(value)) for key, value in config["training"].items()),
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
            ["" if one is None else one for one in values]
            if values.dtype == object
            else values.astype(np.float64 if values.ndim == 1 else np.float32)
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
