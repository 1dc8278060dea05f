"""A model is a graph: order, out-of-fold outputs, saving, and what it reads."""

import numpy as np
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.component import FitContext
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.graph.fit import split_into_folds
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.testing import INPUTS, make_examples

DTYPES = {one.name: one.dtype for one in INPUTS}
CONTEXT = FitContext(HardwareSpec(threads=1), seed=3)
STACKED = {
    # declared in the wrong order on purpose: the graph finds the right one
    "final": {"kind": "logistic", "inputs": ["trees.margin", "shop.visits"]},
    "trees": {"kind": "xgboost", "inputs": ["shop.price", "shop.city"], "num_boost_round": 60},
}


def graph_of(components, score):
    return ModelGraph(ModelSpec(name="m", components=components, score=score), DTYPES)


def test_a_graph_of_one_reads_what_its_pattern_matches():
    graph = graph_of({"one": {"kind": "logistic", "inputs": ["shop.*"]}}, "one")
    assert graph.inputs == INPUTS


def test_a_component_learns_after_those_it_reads():
    graph = graph_of(STACKED, "final")
    assert list(graph.components) == ["trees", "final"]
    assert {one.name for one in graph.inputs} == set(DTYPES)
    graph.fit(make_examples(800, 1), make_examples(300, 2), CONTEXT)
    fresh = make_examples(2000, 4)
    both = graph.score(fresh.columns)
    outputs = graph.outputs(fresh.columns)
    assert set(outputs) == {"trees.margin", "trees.probability", "final.margin", "final.probability"}
    assert log_loss(fresh.label, both) < log_loss(fresh.label, outputs["trees.probability"])


def test_out_of_fold_outputs_do_not_flatter_an_overfitted_component():
    """Deep trees know their own rows by heart; the component after them must not believe that."""
    deep = {"max_depth": 20, "min_child_weight": 0, "learning_rate": 1.0}
    components = {
        "trees": {"kind": "xgboost", "inputs": ["shop.price"], "num_boost_round": 30, "params": deep},
        "final": {"kind": "logistic", "inputs": ["trees.margin"], "penalty": 1e-6},
    }
    train, fresh = make_examples(600, 1), make_examples(2000, 4)
    graph = graph_of(components, "final")
    graph.fit(train, make_examples(300, 2), CONTEXT)
    outputs = graph.outputs(fresh.columns)
    assert (
        log_loss(fresh.label, outputs["final.probability"]) < 0.7 < log_loss(fresh.label, outputs["trees.probability"])
    )


def test_save_and_load(tmp_path):
    graph = graph_of(STACKED, "final")
    graph.fit(make_examples(400, 1), make_examples(200, 2), CONTEXT)
    graph.save(tmp_path)
    fresh = make_examples(50, 5).columns
    loaded = ModelGraph.load(graph.spec, DTYPES, tmp_path)
    assert np.abs(loaded.score(fresh) - graph.score(fresh)).max() < 1e-9


def test_the_score_must_be_a_probability():
    from proml_kedro.extensions import components
    from proml_kedro.models.component import Component
    from proml_kedro.spec.model import ComponentSpec
    from proml_kedro.spec.outputs import Output

    class EmbeddingSpec(ComponentSpec):
        def outputs(self, task):
            return (Output("embedding", "vector[3]"),)

    class NoProbability(Component):
        Spec = EmbeddingSpec
        fit = score = save = load = None

    components._objects["no_probability"] = NoProbability
    try:
        with pytest.raises(UserError, match="'one' gives no probability"):
            graph_of({"one": {"kind": "no_probability", "inputs": ["*"]}}, "one")
    finally:
        del components._objects["no_probability"]


def test_folds_keep_groups_together_and_are_even():
    groups = np.array([f"g{i % 40}" for i in range(1000)], dtype=object)
    folds = split_into_folds(1000, 4, seed=1, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert np.bincount(folds).tolist() == [250] * 4
    assert np.bincount(split_into_folds(1001, 4, 1, None)).tolist() == [251, 250, 250, 250]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"monotone_constraints": {"shop.prize": 1}}, "model.components.one.params: XGBoost refuses them"),
        ({"interaction_constraints": [["shop.prize"]]}, "model.components.one.params: XGBoost refuses them"),
    ],
)
def test_what_xgboost_refuses_is_one_line(params, message):
    graph = graph_of({"one": {"kind": "xgboost", "inputs": ["*"], "params": params}}, "one")
    with pytest.raises(UserError, match=message) as caught:
        graph.fit(make_examples(100, 1), make_examples(100, 2), CONTEXT)
    assert "\n" not in str(caught.value)


def test_monotone_constraints_hold():
    params = {"monotone_constraints": {"shop.price": -1}}
    graph = graph_of({"one": {"kind": "xgboost", "inputs": ["*"], "params": params}}, "one")
    graph.fit(make_examples(600, 1), make_examples(100, 2), CONTEXT)
    rows = 50
    columns = {
        "shop.price": np.linspace(0, 40, rows, dtype=np.float32),
        "shop.visits": np.full(rows, 3, np.float32),
        "shop.city": np.array(["Bern"] * rows, dtype=object),
    }
    assert (np.diff(graph.score(columns)) <= 1e-7).all()


def test_early_stopping_chooses_and_refit_uses_both_periods():
    config = {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 300, "early_stopping_rounds": 10}
    kept = graph_of({"one": {**config, "refit": False}}, "one")
    again = graph_of({"one": config}, "one")
    for graph in (kept, again):
        graph.fit(make_examples(600, 1), make_examples(300, 2), CONTEXT)
    trees = kept.summary()["one"]["trees"]
    assert 0 < trees < 300
    assert again.summary()["one"]["trees"] == trees
    fresh = make_examples(100, 5).columns
    assert np.abs(kept.score(fresh) - again.score(fresh)).max() > 1e-4


def log_loss(label, probability):
    probability = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(label * np.log(probability) + (1 - label) * np.log(1 - probability)))


def test_rows_without_a_group_are_dealt_out_singly():
    groups = np.array([None, "a", None, "a", None] * 20, dtype=object)
    folds = split_into_folds(100, 3, seed=1, groups=groups)
    assert len(set(folds[groups == "a"])) == 1
    assert len(set(folds[np.equal(groups, None)])) == 3


def test_a_class_too_rare_for_folds_is_said_in_one_line():
    train = make_examples(200, 1)
    train.label[:] = 0
    train.label[0] = 1
    with pytest.raises(UserError, match="cross_fit: without fold"):
        graph_of(STACKED, "final").fit(train, make_examples(100, 2), CONTEXT)


def test_infinite_and_huge_numbers_count_as_missing():
    from proml_kedro.models.columns import as_numbers

    numbers = as_numbers(np.array([1.0, np.inf, -np.inf, np.nan, 1e300]), "float32")
    assert numbers.dtype == np.float32
    assert np.isnan(numbers).tolist() == [False, True, True, True, True]


def test_a_component_starts_from_the_earlier_one_of_its_name_and_kind():
    from proml_kedro.extensions import components
    from proml_kedro.models.component import Component
    from proml_kedro.spec.model import ComponentSpec

    class WarmSpec(ComponentSpec):
        warm_starts = True

    seen = []

    class Warm(Component):
        Spec = WarmSpec
        score = save = load = None

        def fit(self, train, validation, context):
            seen.append(context.previous)

    components._objects["warm"] = Warm
    try:
        same, other = {"kind": "warm", "inputs": ["*"]}, {"kind": "logistic", "inputs": ["*"]}
        first = graph_of({"one": same, "two": same, "three": other}, "one")
        second = graph_of({"one": same, "two": other, "new": same, "three": other}, "one")
        second.fit(make_examples(200, 1), make_examples(200, 2), CONTEXT, previous=first)
        assert seen == [first.components["one"], None]
        second.fit(make_examples(200, 1), make_examples(200, 2), CONTEXT)
        assert seen[2:] == [None, None]
    finally:
        del components._objects["warm"]


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("trees", 1400, "1,400 trees"),
        ("converged", True, "converged"),
        ("converged", False, "not converged"),
        ("engine", "streamed", "engine streamed"),
        ("log likelihood", -12.5, "log likelihood -12.5"),
    ],
)
def test_facts_are_said_in_words(fact, value, said, caplog, monkeypatch):
    graph = graph_of({"one": {"kind": "logistic", "inputs": ["shop.price"]}}, "one")
    monkeypatch.setattr(type(graph.components["one"]), "summary", lambda self: {fact: value})
    with caplog.at_level("INFO"):
        graph.fit(make_examples(200, 1), make_examples(100, 2), CONTEXT)
    assert caplog.records[-1].message.endswith(f" s: 200 rows to train, 100 to choose, {said}")
