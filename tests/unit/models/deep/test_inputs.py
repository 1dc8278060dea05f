"""Texts, sequences, vectors, crosses and hashes: their ids, their vectors, and what blocks are given of them."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.statistics import MISSING, UNKNOWN, learn
from proml_kedro.spec import HardwareSpec

CONTEXT = FitContext(HardwareSpec(threads=1), seed=1, key="net")


def texts(*values):
    return np.array(values, dtype=object)


def encoder(columns, dtypes, **features):
    layout = lay_out(DeepFeaturesSpec.model_validate(features), dtypes)
    statistics = learn([columns], layout, "net")
    return Preprocess(layout, statistics), statistics


def test_a_text_is_its_first_words_in_small_letters():
    train = {"j.title": texts("Data-Engineer (C+)", "data ANALYST", "Émile's data", None, "")}
    encode, statistics = encoder(train, {"j.title": "str"}, text={"j.title": {"words": 3}})
    known = statistics.vocabularies["j.title"]
    assert list(known) == ["data", "analyst", "c+", "engineer", "s", "émile"]
    ids = encode.encode({"j.title": texts("engineer DATA", "pilot, data; C+ engineer", None, "--")})[1]
    assert ids.tolist() == [[5, 2, 0], [UNKNOWN, 2, 4], [0, 0, 0], [0, 0, 0]]


def test_marks_and_names_of_languages_are_parts_of_words():
    train = {"j.title": texts("C++/C# and C, #1 + salary+bonus C++11", "हिन्दी किताब")}
    _, statistics = encoder(train, {"j.title": "str"}, text={"j.title": {"words": 20}})
    wanted = {"c++", "c#", "and", "c", "1", "salary", "bonus", "11", "हिन्दी", "किताब"}
    assert set(statistics.vocabularies["j.title"]) == wanted


def test_letters_are_one_however_they_are_written():
    """é is one sign, or e and a mark: TensorFlow takes them for two words."""
    train = {"j.title": texts("Café Zoë", unicodedata.normalize("NFD", "café zoë"))}
    encode, statistics = encoder(train, {"j.title": "str"}, text={"j.title": {"words": 2}})
    assert dict(statistics.vocabularies) == {"j.title": ["café", "zoë"]}
    assert encode.encode(train)[1].tolist() == [[2, 3], [2, 3]]


def test_a_separator_at_the_end_is_no_item():
    encode, _ = encoder({"m.recent": texts("a,b,", "a")}, {"m.recent": "str"}, sequences={"m.recent": {"items": 2}})
    assert encode.encode({"m.recent": texts("a,b,", ",")})[1].tolist() == [[2, 3], [0, 0]]


def test_a_sequence_keeps_its_last_items_and_shares_a_vocabulary():
    train = {"m.recent": texts("b|a", "a", None, None), "j.id": texts("a", "c", "c", None)}
    features = {
        "sequences": {"m.recent": {"items": 2, "separator": "|"}},
        "tables": {"jobs": ["m.recent", "j.id"]},
    }
    encode, statistics = encoder(train, {"m.recent": "str", "j.id": "str"}, **features)
    assert dict(statistics.vocabularies) == {"jobs": ["a", "c", "b"]}
    ids = encode.encode({"m.recent": texts("c|b| a", "zzz", "a||b", None), "j.id": texts("b", "zzz", None, "")})[1]
    assert ids.tolist() == [[4, 2, 4], [UNKNOWN, 0, UNKNOWN], [2, 4, MISSING], [0, 0, MISSING]]
    first = {"sequences": {"m.recent": {"items": 2, "separator": "|", "keep": "first"}}}
    encode, _ = encoder(train, {"m.recent": "str"}, **first)
    assert encode.encode({"m.recent": texts("a|b|a")})[1].tolist() == [[2, 3]]


def test_the_most_frequent_are_known_and_hashes_need_no_vocabulary():
    train = {"a.x": texts("p", "q", "q", "r", "r", "r", None)}
    encode, statistics = encoder(train, {"a.x": "str"}, max_categories=2)
    assert list(statistics.vocabularies["a.x"]) == ["r", "q"]
    encode, statistics = encoder(train, {"a.x": "str"}, hash={"a.x": 50})
    assert statistics.vocabularies == {}
    ids = encode.encode({"a.x": texts("p", "p", "never seen", None)})[1][:, 0]
    assert ids[0] == ids[1]
    assert 2 <= ids.min(initial=99, where=ids != 0) <= ids.max() < 52
    assert ids[3] == MISSING


def test_a_cross_is_missing_when_a_part_is():
    train = {"a.x": texts("p", "q", None), "a.n": np.array([1.0, 9.0, np.nan], np.float32)}
    features = {"buckets": {"a.n": 2}, "crosses": {"both": {"of": ["a.x", "a.n"], "buckets": 1000}}}
    encode, _ = encoder(train, {"a.x": "str", "a.n": "float"}, **features)
    columns = {"a.x": texts("p", "p", "q", None, "p"), "a.n": np.array([1, 9, 1, 1, np.nan], np.float32)}
    both = encode.encode(columns)[1][:, 2]
    assert len(set(both[:3])) == 3
    assert both[3:].tolist() == [MISSING, MISSING]
    assert (both[:3] == encode.encode({name: values[:3] for name, values in columns.items()})[1][:, 2]).all()


def test_vectors_keep_their_direction():
    vectors = np.array([[3, 4], [np.nan, np.nan], [6, 8], [1e30, 0]], np.float32)
    encode, _ = encoder({"a.v": vectors[:3]}, {"a.v": "vector[2]"})
    numbers = encode.encode({"a.v": vectors})[0]
    assert numbers.shape == (4, 2)  # no indicators: a vector compares with others of its size
    assert numbers[2] == pytest.approx(2 * numbers[0])
    assert numbers[0, 1] / numbers[0, 0] == pytest.approx(4 / 3)
    assert numbers[1].tolist() == [0, 0]
    assert numbers[3].tolist() == [10, 0]


INPUTS = (Input("m.words", "str"), Input("m.recent", "str"), Input("j.id", "str"), Input("j.v", "vector[3]"))
JOBS = [f"j{number}" for number in range(12)]


def make(rows, seed):
    """Jobs; a job that was seen recently is taken, and so is one whose number stands in the text."""
    generator = np.random.default_rng(seed)
    recent = [generator.choice(JOBS, generator.integers(0, 5)).tolist() for _ in range(rows)]
    words = [generator.choice(JOBS, 2).tolist() for _ in range(rows)]
    job = generator.choice(np.array(JOBS, dtype=object), rows)
    label = [one in seen or one in said for one, seen, said in zip(job, recent, words, strict=True)]
    columns = {
        "m.words": texts(*(f"I like {' and '.join(one)}!" for one in words)),
        "m.recent": texts(*(",".join(one) or None for one in recent)),
        "j.id": job,
        "j.v": generator.normal(size=(rows, 3)).astype(np.float32),
    }
    return Examples(columns, np.array(label, np.float32))


def component(graph, heads, **features):
    config = {
        "kind": "deep",
        "inputs": ["*"],
        "features": {
            "embed": 6,
            "text": {"m.words": {"words": 6}},
            "sequences": {"m.recent": {"items": 4}},
            "tables": {"jobs": ["m.words", "m.recent", "j.id"]},
            **features,
        },
        "graph": graph,
        "heads": heads,
        "training": {"epochs": 25, "batch_size": 128, "learning_rate": 0.02},
    }
    return Deep(Deep.Spec.model_validate(config), INPUTS)


READERS = {
    "asked": {"block": "attention", "of": ["m.recent", "j.id"]},
    "unasked": {"block": "attention", "of": "m.recent", "units": 4},
    "pooled": {"block": "concat", "of": "m.recent"},
    "recurrent": {"layer": "GRU", "of": "m.recent", "as_sequence": True, "config": {"units": 6}},
    "averaged": {"layer": "GlobalAveragePooling1D", "of": "m.recent", "as_sequence": True},
}
"""Ways in which blocks read a sequence; the vector of each is compared with the job, and has a head of its own."""


@pytest.fixture(scope="module")
def readers():
    graph = {"likes": {"block": "cosine", "of": ["m.words", "j.id"]}}
    for name, block in READERS.items():
        graph[name] = block
        graph[f"{name}_alike"] = {"block": "cosine", "of": [name, "j.id"]}
        graph[f"{name}_out"] = {"block": "mlp", "of": ["likes", f"{name}_alike", "j.v"], "units": [8]}
    net = component(graph, {name: {"of": f"{name}_out"} for name in READERS})
    net.fit(make(3000, 1), make(200, 2), CONTEXT)
    return net


@pytest.fixture(scope="module")
def loaded(readers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    readers.save(folder)
    return Deep.load(readers.spec, INPUTS, folder)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_what_blocks_make_of_words_and_items(readers, loaded, reader):
    name = "probability" if reader == "asked" else f"{reader}_probability"
    fresh = make(1000, 3)
    probability = readers.score(fresh.columns)[name]
    assert np.isfinite(probability).all()
    assert probability[fresh.label == 1].mean() > probability[fresh.label == 0].mean() + 0.15
    alone = {column: values[:1] for column, values in fresh.columns.items()}
    assert readers.score(alone)[name] == pytest.approx(probability[:1], abs=1e-6)
    empty = {**alone, "m.words": texts(None), "m.recent": texts(None), "j.v": np.full((1, 3), np.nan, np.float32)}
    assert all(np.isfinite(values).all() for values in readers.score(empty).values())
    assert loaded.score(fresh.columns)[name] == pytest.approx(probability, abs=1e-6)


def test_filling_up_changes_nothing():
    """Twice the length, and longer sequences beside it, leave a row's score as it is."""
    graph = {
        "wide": {"block": "linear", "of": "categories"},
        "deep": {"block": "mlp", "of": ["embeddings", "vectors"], "units": [8]},
    }
    scores = []
    for items in (4, 8):
        net = component(graph, {"head": {"of": ["wide", "deep"]}}, sequences={"m.recent": {"items": items}})
        net.fit(make(500, 1), make(50, 2), CONTEXT)
        scores.append(net.score(make(100, 3).columns)["margin"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
