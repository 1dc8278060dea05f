"""Every mistake in a deep component is one line with its key, before any data is read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from proml_kedro.config.spec_paths import known_keys
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.spec.problem import ProblemSpec

INPUTS = {"shop.price": "float", "shop.visits": "int", "shop.city": "str", "shop.country": "str"}


def make(features=None, head="deep", **graph):
    deep = {"block": "mlp", "of": ["numbers", "embeddings"], "units": [4]}
    return DeepSpec.model_validate(
        {
            "kind": "deep",
            "inputs": ["*"],
            "features": features or {},
            "graph": {"deep": deep, **graph},
            "head": {"of": head},
        }
    )


def mistakes(spec, inputs=INPUTS):
    return [f"{one.key}: {one.message}" for one in spec.check_network(inputs)]


def test_a_sound_component_has_no_mistake():
    features = {
        "embed": {"*": 8, "shop.visits": 4},
        "numeric": {"*": "log"},
        "buckets": {"shop.visits": 5},
        "tables": {"places": ["shop.city", "shop.country"]},
    }
    wide = {"block": "linear", "of": ["categories", "shop.price"]}
    assert mistakes(make(features, ["deep", "wide", "pairs"], wide=wide, pairs={"block": "fm", "of": "shop.c*"})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x": {"block": "add", "of": "dep"}}, "graph.x.of.0: no block or input 'dep'. Did you mean 'deep'?"),
        ({"head": "shop.prise"}, "head.of.0: no block or input 'shop.prise'. Did you mean 'shop.price'?"),
        ({"head": ["deep", "categories"]}, "head.of.1: only a 'linear' block reads categories"),
        ({"numbers": {"block": "add", "of": "deep"}}, "graph.numbers: the name stands for inputs"),
        ({"x": {"block": "add", "of": "deep"}}, "graph.x: neither another block nor a head reads it"),
        (
            {"x": {"block": "add", "of": "y"}, "y": {"block": "add", "of": "x"}, "head": "y"},
            "graph: blocks need each other in a circle: x -> y -> x",
        ),
        (
            {"x": {"block": "fm", "of": "embeddings"}, "features": {"embed": {"*": 8, "shop.city": 4}}},
            "graph.x.of: fm needs vectors of one width, not of 4, 8",
        ),
        ({"x": {"block": "fm", "of": ["embeddings", "deep"]}}, "graph.x.of: fm needs vectors of one width"),
        ({"x": {"block": "dot_interaction", "of": "shop.city"}}, "graph.x.of: dot_interaction needs at least two"),
        ({"x": {"block": "add", "of": ["deep", "embeddings"]}}, "graph.x.of: add needs vectors of one width"),
        ({"deep": {"block": "mlp", "of": "numbers", "units": [4]}}, "inputs: no block reads shop.city, shop.country"),
        ({"features": {"embed": {"shop.citty": 4}}}, "features.embed.shop.citty: no feature among the inputs"),
        ({"features": {"buckets": {"shop.city": 4}}}, "features.buckets.shop.city: no number among the inputs"),
        ({"features": {"min_count": {"*price": 4}}}, "features.min_count.*price: no text among the inputs"),
        ({"features": {"numeric": {"shop.city": "log"}}}, "features.numeric.shop.city: no number among"),
        ({"features": {"tables": {"t": ["shop.price"]}}}, "features.tables.t.0: no text among the inputs 'shop.price'"),
        (
            {"features": {"tables": {"t": ["shop.city"], "u": ["shop.*"]}}},
            "features.tables.u.0: 'shop.city' has the table 't' already",
        ),
        (
            {"features": {"tables": {"t": ["shop.c*"]}, "embed": {"*": 8, "shop.city": 4}}},
            "features.tables.t: embed, min_count, max_categories and hash must be equal for shop.city, shop.country",
        ),
        (
            {"features": {"buckets": {"*": 4}}, "deep": {"block": "mlp", "of": "numbers", "units": [4]}},
            "graph.deep.of.0: there are no numbers: no input is a number that is not bucketed",
        ),
    ],
)
def test_mistakes_are_told_with_their_key(changes, expected):
    (found,) = mistakes(make(**changes))[:1]
    assert found.startswith(expected)
    assert "\n" not in found


def test_a_sort_of_inputs_may_be_empty_beside_another():
    """One declaration fits problems with vectors and without."""
    deep = {"block": "mlp", "of": ["numbers", "vectors", "embeddings"], "units": [4]}
    assert mistakes(make(deep=deep)) == []
    bucketed = make(deep=deep, features={"buckets": {"*": 4}})
    assert mistakes(bucketed) == []


def problem(task="binary", group="list"):
    return ProblemSpec.model_validate(
        {
            "name": "sales",
            "tables": {"visits": {"source": "visits.parquet"}},
            "examples": {"table": "visits", "entities": ["shop"], "timestamp": "at", "group": group},
            "label": {"expression": "sold", "task": task},
            "auxiliary_labels": {"grade": "grade"},
            "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01"},
        }
    )


def with_heads(**keys):
    deep = {"block": "mlp", "of": ["numbers", "embeddings"], "units": [4]}
    graph = {"deep": deep, "one": {"block": "linear", "of": "deep"}}
    return DeepSpec.model_validate({"kind": "deep", "inputs": ["*"], "graph": graph, **keys})


BOTH = ["deep", "one"]


@pytest.mark.parametrize(
    ("keys", "given", "expected"),
    [
        (
            {"head": {"of": BOTH, "label": "grad"}},
            {},
            "head.label: no auxiliary label of the problem 'grad'. Did you mean 'grade'?",
        ),
        (
            {"heads": {"a": {"of": BOTH}, "b": {"of": "deep", "loss": "squared"}}},
            {},
            "heads.b.loss: 'squared' does not fit the problem's label, a binary; write binary, listwise, pairwise",
        ),
        (
            {"head": {"of": BOTH}},
            {"task": "count"},
            "head.loss: 'binary' does not fit the problem's label, a count; write",
        ),
        (
            {"head": {"of": BOTH, "loss": "pairwise"}},
            {"group": None},
            "head.loss: 'pairwise' compares rows of a group: problem.examples.group says of which",
        ),
        (
            {"head": {"of": BOTH}, "training": {"early_stopping": {"metric": "rmse"}}},
            {},
            "training.early_stopping.metric: no metric of a head 'rmse'",
        ),
        ({"head": {"of": BOTH}, "expose": {"margin": "one"}}, {}, "expose: a head has an output 'margin' too"),
        ({"head": {"of": BOTH}, "expose": {"x": "de"}}, {}, "expose.x: no block or embedded input 'de'"),
        (
            {"head": {"of": BOTH}, "expose": {"x": "numbers"}},
            {},
            "expose.x: only a block, or the embedding of one input",
        ),
    ],
)
def test_mistakes_of_heads_are_told_with_their_key(keys, given, expected):
    found = [f"{one.key}: {one.message}" for one in with_heads(**keys).check(INPUTS, problem(**given))]
    assert len(found) == 1
    assert found[0].startswith(expected)
    assert "\n" not in found[0]


def test_a_width_that_depends_on_the_inputs_cannot_be_exposed():
    spec = make(None, ["deep", "all"], all={"block": "concat", "of": ["numbers", "deep"]}).model_copy(
        update={"expose": {"x": "all"}}
    )
    assert mistakes(spec)[0].startswith("expose.x: its width depends on the inputs")


@pytest.mark.parametrize("keys", [{}, {"head": {"of": "deep"}, "heads": {"a": {"of": "deep"}}}])
def test_there_is_one_head_or_there_are_several(keys):
    with pytest.raises(ValidationError, match="head or heads must say what is learned"):
        with_heads(**keys)


def test_outputs_are_known_from_the_declaration_alone():
    heads = {
        "rank": {"of": "deep", "loss": "listwise", "label": "grade"},
        "sale": {"of": BOTH},
        "price": {"of": "deep", "loss": "quantile", "quantiles": [0.5, 0.975], "label": "grade"},
    }
    spec = with_heads(heads=heads, expose={"affinity": "one", "hidden": "deep", "town": "shop.city"})
    assert spec.output_names("binary")[:8] == (
        "rank_margin",
        "rank_probability",
        "margin",
        "probability",
        "price_margin",
        "price_mean",
        "price_q50",
        "price_q97_5",
    )
    rest = ["affinity", *(f"hidden_{number}" for number in range(4)), *(f"town_{number}" for number in range(16))]
    assert spec.output_names("binary")[8:] == tuple(rest)


@pytest.mark.parametrize(
    ("graph", "where", "message"),
    [
        ({"block": "mpl", "of": "numbers"}, ("graph", "x"), "block: no block 'mpl'. Did you mean 'mlp'?"),
        ({"of": "numbers"}, ("graph", "x"), "block: is missing; known: add, attention, concat"),
        ({"block": "mlp", "of": "numbers"}, ("graph", "x", "units"), "Field required"),
        ({"block": "mlp", "of": "numbers", "units": [0]}, ("graph", "x", "units", 0), "greater than 0"),
        ({"block": "mlp", "of": "numbers", "unit": [4]}, ("graph", "x", "units"), "Field required"),
        ({"block": "fm", "of": []}, ("graph", "x", "of"), "at least 1"),
        ({"layer": "Lambda", "of": "deep"}, ("graph", "x", "layer"), "'Lambda' is not allowed"),
        (
            {"layer": "Dense", "of": "deep", "config": {"a": {"class_name": "B"}}},
            ("graph", "x", "config", "a"),
            "valid",
        ),
    ],
)
def test_mistakes_in_a_block_are_found_by_its_kind(graph, where, message):
    with pytest.raises(ValidationError) as caught:
        make(x=graph)
    assert any(one["loc"][: len(where)] == where and message in one["msg"] for one in caught.value.errors())


def test_keys_of_a_block_are_known_to_the_configuration():
    config = {"model": {"components": {"t": {"kind": "deep", "graph": {"d": {"block": "mlp"}, "l": {"layer": "X"}}}}}}
    path = ["model", "components", "t", "graph"]
    assert {"units", "dropout"} <= set(known_keys([*path, "d"], config))
    assert "config" in known_keys([*path, "l"], config)


def test_checking_needs_no_tensorflow():
    code = (
        "import sys; from proml_kedro.models.deep.component import Deep; "
        "spec = Deep.Spec.model_validate({'kind': 'deep', 'inputs': ['*'], 'head': {'of': 'a'},"
        " 'graph': {'a': {'block': 'cross', 'of': 'numbers'}}}); "
        "assert spec.check_network({'x.y': 'float'}) == []; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
