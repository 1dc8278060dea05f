"""What the specs know about a place."""

from __future__ import annotations

import pytest

from proml_kedro.config.pydantic_errors import in_words
from proml_kedro.config.spec_paths import choices_at, is_free, known_keys

EFFECTS = {"kind": "mixed", "random_effects": [{"entity": ["a"]}, {"kind": "factors"}]}
CONFIG = {
    "model": {
        "components": {"a": {"kind": "logistic"}, "b": {"kind": "xgboost"}, "c": {"kind": "nothing"}, "d": EFFECTS}
    },
    "features": {"v": {"source": {"table": "t"}, "features": {"w": {"agg": "count"}, "c": {"dtype": "int"}}}},
}


@pytest.mark.parametrize(
    ("path", "has", "lacks"),
    [
        ("", "seed", "components"),
        ("model", "score", "kind"),
        ("model.components", None, "kind"),
        ("model.components.a", "penalty", "params"),
        ("model.components.b", "params", "penalty"),
        ("model.components.b.params", "max_depth", "kind"),
        ("model.components.c", "kind", "params"),
        ("features.v", "snapshot", "agg"),
        ("features.v.source", "ttl", "agg"),
        ("features.v.features.w", "windows", "snapshot"),
        ("features.v.features.c", "dtype", "windows"),
        ("evaluation.baseline", "score", "metrics"),
        ("model.components.d.random_effects.0", "features", "rank"),
        ("model.components.d.random_effects.1", "rank", "features"),
        ("seed", None, "seed"),
        ("no.such.place", None, "seed"),
    ],
)
def test_known_keys(path, has, lacks):
    keys = known_keys(path.split(".") if path else [], CONFIG)
    assert has is None or has in keys
    assert lacks not in keys


def test_names_of_ones_own():
    assert is_free(["problem", "tables"], CONFIG)
    assert is_free(["features"], CONFIG)
    assert not is_free(["problem"], CONFIG)
    assert not is_free(["model", "components", "a"], CONFIG)


def test_choices():
    assert choices_at(["reuse"], CONFIG) == ["true", "false"]
    assert choices_at(["problem", "split", "by"], CONFIG) == ["column", "entity", "random", "rolling", "time"]
    assert choices_at(["seed"], CONFIG) == []


def test_a_long_value_is_cut():
    text = in_words([{"type": "int_parsing", "loc": ("seed",), "input": "x" * 500, "msg": ""}])
    assert len(text) < 80


def test_what_nobody_foresaw_is_still_one_line():
    error = {"type": "something_new", "loc": ("a",), "input": 1, "msg": "Input should be\nodd"}
    assert in_words([error]) == "must be odd"
