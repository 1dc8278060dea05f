"""Scores of the training rows add up to their labels, also where an effect has few entities with many rows."""

import numpy as np
import pytest

from dense_mixed import draw
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

TASKS = {"logistic": "binary", "linear": "regression", "poisson": "count"}
INPUTS = (Input("x", "float"), Input("g", "str"), Input("h", "str"))


def fitted(loss, method, groups, rows, crossed):
    generator = np.random.default_rng(1)
    g, h = generator.integers(0, groups, rows), generator.integers(0, 40, rows)
    x = generator.normal(size=rows).astype(np.float32)
    margin = 0.3 * x + generator.normal(0, 0.8, groups)[g] + crossed * generator.normal(0, 0.5, 40)[h] - 0.5
    names = {"g": np.array([f"g{one}" for one in g], object), "h": np.array([f"h{one}" for one in h], object)}
    examples = Examples({"x": x, **names}, draw(generator, loss, margin).astype(np.float32))
    effects = [{"entity": "g"}, {"entity": "h"}][: 1 + crossed]
    config = {"kind": "mixed", "inputs": ["x", "g", "h"], "fixed": ["x"], "random_effects": effects, "method": method}
    component = Mixed(MixedSpec.model_validate({**config, "penalty": 0.0}), INPUTS)
    context = FitContext(HardwareSpec(threads=1), 0, "model.components.m", True, TASKS[loss])
    component.fit(examples, examples.take(slice(0, 0)), context)
    return component, examples


@pytest.mark.parametrize("crossed", [0, 1])
@pytest.mark.parametrize(("groups", "rows"), [(5, 10_000), (300, 3_000)])
@pytest.mark.parametrize("method", ["variational", "laplace", "pql"])
@pytest.mark.parametrize("loss", TASKS)
def test_scores_add_up_to_labels(loss, method, groups, rows, crossed):
    component, examples = fitted(loss, method, groups, rows, crossed)
    score = component.score(examples.columns)
    total = score["probability" if loss == "logistic" else "mean"].sum()
    assert total / examples.label.sum() == pytest.approx(1.0, abs=0.005)


def test_the_variance_of_a_number_is_that_around_its_group():
    """Five groups of 2,000 rows are known to a hundredth, and so is a row of one: 0.25 is the residual variance."""
    component, examples = fitted("linear", "variational", 5, 10_000, 0)
    assert component.score(examples.columns)["variance"] == pytest.approx(0.25, rel=0.05)
