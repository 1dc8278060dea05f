"""Every component that is shipped proves the laws."""

import re
from pathlib import Path

import pytest

from proml_kedro.extensions import blocks, components, layers, producers
from proml_kedro.models.component import Component
from proml_kedro.testing import check_component, make_examples

CONFIGS = [
    {"kind": "logistic"},
    {"kind": "logistic", "penalty": 100.0},
    {"kind": "mixed", "random_effects": [{"entity": "shop.city"}]},
    {
        "kind": "mixed",
        "fixed": ["shop.*"],
        "random_effects": [{"entity": "shop.city", "features": ["intercept", "shop.price"]}],
    },
    {
        "kind": "mixed",
        "offset": "shop.price",
        "method": "pql",
        "random_effects": [{"entity": "shop.city", "features": ["shop.visits"], "variance": 0.3}],
    },
    {
        "kind": "mixed",
        "fixed": ["shop.city", "shop.price"],
        "random_effects": [
            {"entity": "shop.city", "features": ["intercept", "shop.visits"], "covariance": "diagonal"},
            {"entity": ["shop.city"], "features": ["shop.price"]},
        ],
    },
    {"kind": "xgboost", "num_boost_round": 20},
    {"kind": "xgboost", "num_boost_round": 50, "early_stopping_rounds": 5, "refit": False},
    {"kind": "xgboost", "num_boost_round": 50, "early_stopping_rounds": 5, "params": {"subsample": 0.5, "eta": 0.2}},
    {"kind": "xgboost", "objective": "pairwise", "num_boost_round": 20, "early_stopping_rounds": 5},
    {"kind": "xgboost", "objective": "listwise", "num_boost_round": 20},
]

EVERYTHING = ["numbers", "embeddings"]
TRAINING = {"epochs": 15, "batch_size": 128, "learning_rate": 0.01, "early_stopping": {"metric": "auc"}}
CONFIGS += [
    {
        "kind": "deep",
        "features": {"embed": 4},
        "graph": {
            "wide": {"block": "linear", "of": ["categories", "numbers"]},
            "deep": {"block": "mlp", "of": EVERYTHING, "units": [16, 8], "dropout": 0.1, "batch_norm": True},
            "crossed": {"block": "cross", "of": EVERYTHING, "rank": 3},
        },
        "head": {"of": ["wide", "deep", "crossed"]},
        "training": TRAINING,
    },
    {
        "kind": "deep",  # DeepFM
        "features": {"embed": 4, "buckets": {"*": 8}, "min_count": 5},
        "graph": {
            "first": {"block": "linear", "of": "categories"},
            "pairs": {"block": "fm", "of": "embeddings"},
            "deep": {"block": "mlp", "of": "embeddings", "units": [8]},
        },
        "head": {"of": ["first", "pairs", "deep"]},
        "training": {**TRAINING, "refit": True, "weight_decay": 0.01},
    },
    {
        "kind": "deep",  # DLRM
        "features": {"embed": 4, "numeric": "quantile", "missing": "mean"},
        "graph": {
            "bottom": {"block": "mlp", "of": "numbers", "units": [8, 4]},
            "pairs": {"block": "dot_interaction", "of": ["bottom", "embeddings"]},
            "normal": {"layer": "LayerNormalization", "of": ["bottom", "pairs"]},
        },
        "head": {"of": "normal"},
        "training": TRAINING,
    },
]


CONFIGS += [
    {"kind": "linear"},
    {"kind": "blend", "inputs": ["shop.price", "shop.visits"], "weights": [1, 3]},
    {"kind": "target_statistics", "inputs": ["shop.city"]},
    {"kind": "tfidf_similarity", "inputs": ["shop.motto", "shop.search"]},
]
OF_OTHER_TASKS = [
    {"kind": "linear"},
    {"kind": "linear", "penalty": 100.0},
    {"kind": "xgboost", "num_boost_round": 20},
    {"kind": "xgboost", "num_boost_round": 50, "early_stopping_rounds": 5, "eval_metric": "mae"},
    {"kind": "target_statistics", "inputs": ["shop.city"]},
    {"kind": "blend", "inputs": ["shop.price"]},
]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
def test_a_constant_obeys_the_laws(task, tmp_path):
    check_component({"kind": "constant"}, tmp_path, task)


@pytest.mark.parametrize("task", ["regression", "count"])
@pytest.mark.parametrize("config", OF_OTHER_TASKS, ids=str)
def test_component_obeys_the_laws_for_numbers_and_counts(config, task, tmp_path):
    check_component(config, tmp_path, task)


@pytest.mark.parametrize(
    "config", [*OF_OTHER_TASKS[:3], {"kind": "xgboost", "num_boost_round": 50, "early_stopping_rounds": 5}], ids=str
)
def test_component_obeys_the_laws_for_classes(config, tmp_path):
    check_component(config, tmp_path, "multiclass")


CONFIGS += [
    {
        "kind": "deep",  # texts, sequences, vectors, crosses; two heads, of which one ranks
        "inputs": ["shop.price", "shop.visits", "shop.city", "shop.embedding"],
        "features": {
            "embed": 4,
            "text": {"shop.city": {"words": 2}},
            "buckets": {"shop.visits": 4},
        },
        "graph": {
            "town": {"block": "attention", "of": ["shop.city", "shop.embedding"]},
            "alike": {"block": "cosine", "of": ["shop.embedding", "town"]},
            "all": {"block": "mlp", "of": ["numbers", "vectors", "embeddings", "town"], "units": [16]},
            "experts": {"block": "mmoe", "of": "all", "tasks": ["sale", "order"], "units": [8]},
        },
        "heads": {"sale": {"of": ["experts.sale", "alike"]}, "order": {"of": "experts.order", "loss": "pairwise"}},
        "expose": {"town": "shop.city"},
        "training": {**TRAINING, "epochs": 8},
    },
]


SLOW = ("pairs", "wide")
"""Graphs of DeepFM, DLRM and wide and deep; each block's laws, and those of the largest network, are among the fast."""


def is_slow(config):
    return any(name in config.get("graph", {}) for name in SLOW)


@pytest.mark.parametrize(
    "config", [pytest.param(one, marks=pytest.mark.slow) if is_slow(one) else one for one in CONFIGS], ids=str
)
def test_component_obeys_the_laws(config, tmp_path):
    check_component(config, tmp_path, every_input=config["kind"] == "deep")


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "task"), [("huber", "regression"), ("quantile", "regression"), ("poisson", "count")])
def test_networks_learn_numbers_and_counts(loss, task, tmp_path):
    deep = {"block": "mlp", "of": EVERYTHING, "units": [16, 8]}
    training = {**TRAINING, "early_stopping": {"metric": "loss"}}
    config = {"kind": "deep", "graph": {"deep": deep}, "head": {"of": "deep", "loss": loss}, "training": training}
    check_component(config, tmp_path, task, every_input=True)


@pytest.mark.slow
def test_blocks_and_layers_of_ones_own_obey_the_laws(tmp_path):
    text = (Path(__file__).parents[2] / "docs/explanation/deep-models.md").read_text()
    sources = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if ".register(" in one]
    assert len(sources) == 2
    graph = {
        "deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [8]},
        "gated": {"block": "gate", "of": ["embeddings", "deep"]},
        "scaled": {"layer": "Scale", "of": "gated", "config": {"factor": 0.5}},
    }
    config = {"kind": "deep", "graph": graph, "head": {"of": "scaled"}, "training": TRAINING}
    for folder in ("sound", "cut_off"):
        (tmp_path / folder).mkdir()
    try:
        for source in sources:
            exec(compile(source, "deep-models.md", "exec"), {"__name__": "my_blocks"})
        check_component(config, tmp_path / "sound", every_input=True)
        nothing = layers.temporary("Scale", lambda name, factor: __import__("keras").layers.Rescaling(0.0, name=name))
        with nothing, pytest.raises(AssertionError, match="learns nothing"):
            check_component(config, tmp_path / "cut_off", every_input=True)
    finally:
        blocks._objects.pop("gate", None)
        layers._objects.pop("Scale", None)


def test_every_shipped_kind_is_proved():
    proved = {*(config["kind"] for config in CONFIGS), "constant"}  # which learns nothing of rows, above
    assert proved >= set(components.names()) - set(producers.names()) - {"broken"}


@pytest.mark.parametrize(
    ("flaw", "law"),
    [
        ({"ignores_seed": True}, "fitting twice"),
        ({"batch_mean": True}, "rows beside it"),
        ({"forgets": True}, "saved component"),
        ({"not_finite": True}, "not finite"),
    ],
)
def test_the_laws_catch_a_component_that_breaks_them(flaw, law, tmp_path):
    broken = _broken(**flaw)
    components._objects["broken"] = broken
    try:
        with pytest.raises(AssertionError, match=law):
            check_component({"kind": "broken"}, tmp_path)
    finally:
        del components._objects["broken"]


def _broken(ignores_seed=False, batch_mean=False, forgets=False, not_finite=False):
    import numpy as np

    from proml_kedro.models.columns import sigmoid
    from proml_kedro.spec.model import ComponentSpec
    from proml_kedro.spec.outputs import Output

    class BrokenSpec(ComponentSpec):
        def outputs(self, task):
            return (Output("probability"),)

    class Broken(Component):
        Spec = BrokenSpec

        def fit(self, train, validation, context):
            self.slope = 0.1 + (np.random.default_rng().random() if ignores_seed else 0.0)

        def score(self, columns):
            price = columns["shop.price"].astype(float)
            price = np.where(np.isfinite(price) | not_finite, price, 20.0)
            shift = np.nanmean(price) if batch_mean else 20.0
            return {"probability": sigmoid(self.slope * (price - shift))}

        def save(self, folder):
            (folder / "slope.txt").write_text(str(self.slope))

        @classmethod
        def load(cls, spec, inputs, folder):
            component = cls(spec, inputs)
            component.slope = 0.9 if forgets else float((folder / "slope.txt").read_text())
            return component

    return Broken


def test_made_examples_hold_missing_values_in_every_column():
    import pandas as pd

    examples = make_examples(500)
    assert all(pd.isna(values).any() for values in examples.columns.values())
