"""Fits that share what they make of examples are those of fits alone; one that is to be judged learns nothing there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Shared
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ModelSpec

HARDWARE = HardwareSpec(threads=1, memory="300MB")
TYPES = {"a.x": "float", "a.y": "float", "a.city": "str"}
TREES: dict[str, Any] = {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 12, "early_stopping_rounds": 3}


def examples(rows: int, seed: int) -> Examples:
    generator = np.random.default_rng(seed)
    columns = {
        "a.x": generator.normal(size=rows).astype(np.float32),
        "a.y": generator.normal(size=rows).astype(np.float32),
        "a.city": generator.choice(np.array(["Bern", "Lima", "Oslo"], object), rows),
    }
    margin = columns["a.x"] + (columns["a.city"] == "Lima")
    return Examples(columns, (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(float))


TRAIN, VALIDATION = examples(600, 1), examples(200, 2)


def fitted(component: dict[str, Any], validation: Examples = VALIDATION, **context: Any) -> np.ndarray[Any, Any]:
    spec = ModelSpec.model_validate({"name": "m", "components": {"c": component}, "score": "c"})
    graph = ModelGraph(spec, TYPES)
    graph.fit(TRAIN, validation, FitContext(HARDWARE, 0, **context))
    return graph.score(VALIDATION.columns)


def test_shared_matrices_change_no_model() -> None:
    shared = Shared()
    for params in ({"max_depth": 2}, {"max_depth": 4, "max_bin": 8}, {"max_bin": 16}, {"max_depth": 3, "max_bin": 8}):
        component = {**TREES, "params": params}
        for inputs in (["*"], ["a.x", "a.city"], ["a.city", "a.y"]):
            one = {**component, "inputs": inputs}
            assert np.array_equal(fitted(one, final=False, shared=shared), fitted(one, final=False))


def test_a_label_of_its_own_has_a_matrix_of_its_own() -> None:
    shared, spec = Shared(), ModelSpec.model_validate({"name": "m", "components": {"c": TREES}, "score": "c"})
    flipped = replace(TRAIN, label=1 - TRAIN.label)
    scores = []
    for train in (TRAIN, flipped):
        graph = ModelGraph(spec, TYPES)
        graph.fit(train, VALIDATION, FitContext(HARDWARE, 0, final=False, shared=shared))
        scores.append(graph.score(VALIDATION.columns))
    assert np.corrcoef(*scores)[0, 1] < -0.5


def test_things_that_were_not_used_for_long_go() -> None:
    shared, made = Shared(most=2), []
    array = np.zeros(3)
    for name in ("a", "b", "a", "c", "a", "b"):
        shared.take([array], name, lambda name=name: made.append(name) or name)
    assert made == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    "component",
    [
        {**TREES, "early_stopping_rounds": 0},
        {"kind": "linear", "inputs": ["*"]},
        {"kind": "constant"},
    ],
    ids=lambda one: str(one["kind"]),
)
def test_a_model_that_is_to_be_judged_learns_nothing_from_what_judges_it(component: dict[str, Any]) -> None:
    flipped = replace(VALIDATION, label=1 - VALIDATION.label)
    assert np.array_equal(fitted(component, final=False), fitted(component, flipped, final=False))


def test_trees_are_not_refitted_to_what_judges_them() -> None:
    alone, refitted = fitted(TREES, final=False), fitted(TREES)
    kept = fitted({**TREES, "refit": False})
    assert np.array_equal(alone, kept)
    assert not np.array_equal(alone, refitted)
