"""A linear model of rows with weights is that of the rows as often as they count, scales included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proml_kedro.models.component import FitContext
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import HardwareSpec
from proml_kedro.spec.model import score_output
from proml_kedro.testing import INPUTS, make_examples


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
def test_a_weight_of_three_is_the_row_three_times(task):
    """Rows far away that count nothing change the scale of a number no more than what is learned."""
    examples = make_examples(300, 1, task=task)
    weight = np.arange(300) % 4.0
    price = np.where(weight == 0, 1e4, examples.columns["shop.price"]).astype(np.float32)
    heavy = replace(examples, columns={**examples.columns, "shop.price": price}, weight=weight)
    twice = replace(heavy.take(np.repeat(np.arange(300), weight.astype(int))), weight=None)
    fresh, found = make_examples(100, 2).columns, []
    for rows in (heavy, twice):
        kind = component_of("linear")
        spec = {"kind": "linear", "inputs": [one.name for one in INPUTS], "penalty": 50.0, "max_iterations": 1000}
        model = kind(kind.Spec.model_validate(spec), INPUTS)
        model.task = task
        classes = 3 if task == "multiclass" else 0
        model.fit(rows, rows, FitContext(HardwareSpec(threads=1), 1, task=task, final=False, classes=classes))
        found.append(model.score(fresh)[score_output(task)])
    assert found[0] == pytest.approx(found[1], abs=2e-3 * float(np.std(found[1])))
