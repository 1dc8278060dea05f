"""Fifty ways to spoil a graph of components: each is one line with file and line, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

FEATURES = """
visit:
  source: request
  features:
    pages: {dtype: int}
    price: {dtype: float}
    device: {dtype: str}
    search: {dtype: str}
    seen: {dtype: str}
    wish: {dtype: "vector[4]"}
    taste: {dtype: "vector[4]"}
    long: {dtype: "vector[5]"}
"""
GRAPH = """
components:
  alike: {kind: cosine_similarity, of: [visit.wish, visit.taste]}
  apart: {kind: euclidean_distance, of: [visit.wish, visit.taste]}
  step: {kind: difference, of: [visit.price, visit.pages]}
  level: {kind: bucketize, of: visit.price, bounds: [1, 5]}
  both: {kind: cross, of: [visit.device, level]}
  cut: {kind: clip, of: visit.price, low: 0, high: 9}
  hour: {kind: date_part, of: visit.seen, part: hour}
  age: {kind: time_since, of: [visit.seen, visit.search], unit: days}
  words: {kind: text_overlap, of: [visit.search, visit.device]}
  rare: {kind: tfidf_similarity, inputs: [visit.search, visit.device]}
  often: {kind: target_statistics, inputs: [both], smoothing: 5}
  mix: {kind: expression, expression: "alike * coalesce(words, 0) + step.value"}
  trees: {kind: xgboost, inputs: [alike, apart, step, level, cut, hour, age, rare, often, mix]}
  line: {kind: linear, inputs: [trees.margin, visit.device]}
  personal: {kind: mixed, inputs: [trees.margin, customer], offset: trees.margin, random_effects: [{entity: customer}]}
  all: {kind: blend, inputs: [trees.margin, line.margin, personal.margin], weights: [2, 1, 1]}
score: all
rank: {within: customer, limit: 5, at_most: {visit.device: 2}}
"""

MUTATIONS = [  # what stands there, what is written instead, and what the line says
    ("of: [visit.wish, visit.taste]}\n  apart", "of: [visit.wish, visit.tast]}\n  apart", "'visit.tast'"),
    ("of: [visit.wish, visit.taste]}\n  apart", "of: [visit.wish, visit.long]}\n  apart", "vectors of one size"),
    ("of: [visit.wish, visit.taste]}\n  apart", "of: [visit.wish, visit.price]}\n  apart", "'visit.price' is a"),
    ("of: [visit.wish, visit.taste]}\n  apart", "of: [visit.wish]}\n  apart", "a function of 2, not of 1"),
    ("of: [visit.wish, visit.taste]}\n  apart", "of: []}\n  apart", "must not be empty"),
    ("kind: euclidean_distance", "kind: euclidian_distance", "Did you mean 'euclidean_distance'"),
    ("kind: euclidean_distance", "kinds: euclidean_distance", "apart"),
    ("of: [visit.price, visit.pages]", "of: [visit.price, visit.pages, visit.price, cut]", "a function of 2, not of 3"),
    ("of: [visit.price, visit.pages]", "of: [visit.price, visit.device]", "'visit.device' is a category"),
    ("of: [visit.price, visit.pages]", "of: [visit.price, stp]", "'stp'"),
    ("of: [visit.price, visit.pages]", "of: [visit.price, mix]", "in a circle"),
    ("of: [visit.price, visit.pages]", "of: [visit.price, trees]", "'trees'"),
    ("bounds: [1, 5]", "bounds: [5, 1]", "ascending"),
    ("bounds: [1, 5]", "bounds: []", "bounds"),
    ("bounds: [1, 5]", "bounds: [1, 5], bound: 3", "bound"),
    ("bounds: [1, 5]", "bounds: [1, high]", "bounds"),
    ("of: [visit.device, level]", "of: [visit.device, level.values]", "'level.values'"),
    ("of: [visit.device, level]", "of: [level]", "two categories or more"),
    ("of: [visit.device, level]", "of: [visit.device, cut]", "'cut.value' is a float"),
    ("low: 0, high: 9", "low: 9, high: 0", "above high"),
    ("low: 0, high: 9", "lowest: 0", "lowest"),
    ("of: visit.price, low: 0, high: 9", "of: visit.price", "low, high or both"),
    ("part: hour", "part: hours", "part"),
    ("part: hour", "part: hour, timezone: Berlin", "no time zone"),
    ("of: visit.seen, part", "of: visit.pages, part", "'visit.pages' is a"),
    ("unit: days", "unit: weeks", "unit"),
    ("of: [visit.search, visit.device]", "of: [visit.search, visit.wish]", "'visit.wish' is a vector"),
    ("inputs: [visit.search, visit.device]", "inputs: [visit.search]", "compares two texts"),
    ("inputs: [both], smoothing: 5", "inputs: [both], smoothing: 0", "smoothing"),
    ("inputs: [both], smoothing: 5", "inputs: [visit.price], smoothing: 5", "'visit.price' is a float"),
    ("inputs: [both], smoothing: 5", "inputs: [boht], smoothing: 5", "'boht'"),
    ("alike * coalesce(words, 0)", "alike * coalesce(word, 0)", "'word'"),
    ("alike * coalesce(words, 0)", "alike * coalesc(words, 0)", "Did you mean 'coalesce'"),
    ("alike * coalesce(words, 0)", "alike ** 2", "a value is missing"),
    ("alike * coalesce(words, 0)", "visit.device", "takes numbers"),
    ("alike * coalesce(words, 0)", "mix", "in a circle"),
    ("inputs: [alike, apart, step", "inputs: [alik, apart, step", "'alik'"),
    ("inputs: [alike, apart, step", "inputs: [visit.wish, apart, step", "'visit.wish' is a vector"),
    ("inputs: [alike, apart, step", "inputs: [line.margin, apart, step", "in a circle"),
    ("inputs: [alike, apart, step", "inputs: [line.margins, apart, step", "'line.margins'"),
    ("kind: xgboost, inputs", "kind: xgboost, params: {max_dept: 3}, inputs", "max_dept"),
    ("kind: xgboost, inputs", "kind: xgboost, objective: listwise, inputs", "needs problem.examples.group"),
    ("inputs: [trees.margin, visit.device]", "inputs: [trees, visit.device]", "'trees'"),
    ("offset: trees.margin", "offset: tree.margin", "tree.margin"),
    ("entity: customer", "entity: custmer", "custmer"),
    ("weights: [2, 1, 1]", "weights: [2, 1]", "2 weights of 3 margins"),
    ("weights: [2, 1, 1]", "weights: [2, 1, 0]", "weights"),
    ("line.margin, personal.margin]", "line.probability, personal.margin]", "no margin"),
    ("score: all", "score: al", "Did you mean 'all'"),
    ("score: all", "score: alike", "has no output 'probability'"),
    ("within: customer", "within: group", "within"),
    ("visit.device: 2}", "visit.devise: 2}", "'visit.devise'"),
    ("visit.device: 2}", "visit.device: 0}", "at_most"),
    ("limit: 5", "limit: none", "limit"),
]


def test_the_graph_itself_is_sound(load, edit):
    edit(features__shop=FEATURES, model__forest=GRAPH)
    assert load()["parameters"]["model"]["score"] == "all"


def test_there_are_fifty():
    assert len(MUTATIONS) >= 50
    assert len({mutation[:2] for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize(("text", "instead", "said"), MUTATIONS, ids=lambda text: text.replace("\n", " ")[:30])
def test_each_is_one_line_with_file_and_line(
    text: str, instead: str, said: str, lines: Callable[..., list[str]], edit: Callable[..., None], conf: Path
) -> None:
    assert GRAPH.count(text) == 1
    changed = GRAPH.replace(text, instead).lstrip("\n")
    edit(features__shop=FEATURES, model__forest=changed)
    found = lines()
    number = next(at for at, line in enumerate(changed.splitlines(), 1) if line not in GRAPH.splitlines())
    assert len(found) == 1, found
    place = re.match(r"(?:\S*/)?model/forest\.yaml:(\d+): model\.", found[0])
    assert place, found
    assert int(place[1]) == number or "in a circle" in found[0] or "'score'" in said
    assert said in found[0]


def test_several_mistakes_each_have_their_own_place(lines: Callable[..., list[str]], edit: Callable[..., None]) -> None:
    wrong = (
        ("[visit.wish, visit.taste]", "[visit.wish, visit.tast]"),
        ("[visit.price, visit.pages]", "[visit.prize, visit.pages]"),
    )
    changed = GRAPH
    for text, instead in wrong:
        changed = changed.replace(text, instead)
    edit(features__shop=FEATURES, model__forest=changed)
    assert [line.split(": ")[1] for line in lines()] == [
        "model.components.alike.of.1",
        "model.components.apart.of.1",
        "model.components.step.of.0",
    ]
