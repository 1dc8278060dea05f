"""What the shell offers behind `kedro run`."""

from __future__ import annotations

import pytest

from proml_kedro.config.completion import complete
from proml_kedro.config.folders import shipped

MODELS = sorted({"forest", *(file.stem for file in (shipped() / "model").glob("*.yaml"))})
OF_F = [f"model={name}" for name in MODELS if name.startswith("f")]
CASES = [
    ((), "mod", ["model.", "model="]),
    ((), "experi", ["experiment=deep"]),
    ((), "model=", [f"model={name}" for name in MODELS]),
    ((), "model=f", OF_F),
    (("seed=3",), "model=f", OF_F),
    ((), "model.components.", ["model.components.trees.early_stopping_rounds="]),
    ((), "model.components.trees.params.max_d", ["model.components.trees.params.max_delta_step="]),
    (("model=logistic",), "model.components.linear.pen", ["model.components.linear.penalty=1.0"]),
    ((), "reuse=", ["reuse=false", "reuse=true"]),
    ((), "see", ["seed=7"]),
    ((), "hardware.precision=", ["hardware.precision=float32", "hardware.precision=float64"]),
    ((), "experiment=", ["experiment=deep"]),
    ((), "env=", ["env=local", "env=prod"]),
    ((), "~model.sc", ["~model.score=trees"]),
    ((), "nothing", []),
    # bash breaks words at "="
    (("model",), "", MODELS),
    (("model", "="), "f", ["forest"]),
    (("model", "=", "logistic"), "model.components.linear.pen", ["model.components.linear.penalty=1.0"]),
]


@pytest.mark.parametrize(("before", "word", "expected"), CASES)
def test_completion(shared_conf, before, word, expected):
    found = complete(shared_conf, word, before)
    assert set(expected) <= set(found), found
    assert len(found) == len(expected) or len(expected) == 1


def test_a_line_that_cannot_work_yet_is_completed_as_well(shared_conf):
    assert complete(shared_conf, "model=f", ["model=nope", "seed=x"]) == OF_F
