"""Events of one row in a hundred, entities of three rows: little is known of anybody, and no fit may run away."""

import logging
from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

INPUTS = (Input("member", "str"), Input("visit.hours", "float"))
MEMBERS, ROWS = 20_000, 3
NO_EXAMPLES = Examples({"member": np.zeros(0, object), "visit.hours": np.zeros(0, np.float32)}, np.zeros(0, np.float32))


@cache
def make_visits(rate, deviations=(0.0, 0.0), slope=0.5, seed=0):
    """Members whose intercepts and slopes differ by these deviations, in no order."""
    generator = np.random.default_rng(seed)
    member = generator.permutation(np.repeat(np.arange(MEMBERS), ROWS))
    hours = generator.normal(size=len(member)).astype(np.float32)
    own = generator.normal(size=(MEMBERS, 2)) * deviations
    eta = np.log(rate / (1 - rate)) + own[member, 0] + (slope + own[member, 1]) * hours
    label = (generator.random(len(member)) < 1 / (1 + np.exp(-eta))).astype(np.float32)
    return Examples({"member": np.array([f"m{one}" for one in member], object), "visit.hours": hours}, label)


def fitted(examples, engine, features=("intercept",), fixed=(), method="variational", **effect):
    effects = [{"entity": "member", "features": list(features), **effect}]
    how = {"inputs": [one.name for one in INPUTS], "fixed": list(fixed), "random_effects": effects, "method": method}
    component = Mixed(MixedSpec.model_validate({"kind": "mixed", **how, "engine": engine, "refit": False}), INPUTS)
    component.fit(examples, NO_EXAMPLES, FitContext(HardwareSpec(threads=1), 0))
    return component


@cache
def exact_fit(rate, deviation):
    """Intercept and deviation of members by maximum likelihood, each integrated over by Gauss-Hermite quadrature."""
    examples = make_visits(rate, (deviation, 0), slope=0)
    member = np.array([int(one[1:]) for one in examples.columns["member"]])
    members_of = np.bincount(np.bincount(member, examples.label).astype(int), minlength=ROWS + 1)
    points, weights = np.polynomial.hermite_e.hermegauss(60)

    def lost(at):
        p = 1 / (1 + np.exp(-(at[0] + np.exp(at[1]) * points)))
        each = [weights @ (p**events * (1 - p) ** (ROWS - events)) for events in range(ROWS + 1)]
        return -members_of @ np.log(each)

    intercept, logarithm = minimize(lost, [-3.0, -0.5], method="Nelder-Mead", options={"xatol": 1e-4}).x
    return intercept, np.exp(logarithm)


@pytest.mark.parametrize("engine", ["memory", "streamed"])
@pytest.mark.parametrize(("rate", "deviation"), [(0.01, 0), (0.003, 0), (0.01, 1), (0.05, 1), (0.01, 2)])
def test_an_average_over_the_posterior_does_not_run_away(rate, deviation, engine):
    examples = make_visits(rate, (deviation, 0), slope=0)
    component = fitted(examples, engine)
    (intercept,), facts = component.fixed_effects(), component.summary()
    assert facts["converged"]
    exact_intercept, exact_deviation = exact_fit(rate, deviation)
    assert intercept.value == pytest.approx(exact_intercept, abs=0.25)
    assert facts["deviation of member intercept"] == pytest.approx(exact_deviation, abs=0.3)
    nobody = {"member": np.array([None], object), "visit.hours": np.zeros(1, np.float32)}
    assert component.score(nobody)["probability"][0] == pytest.approx(examples.label.mean(), rel=0.05)


def test_where_laplaces_approximation_fails_it_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        fitted(make_visits(0.01, slope=0), "memory", method="laplace")
    assert "model: 'laplace' finds a deviation of" in caplog.text
    assert "compare with method: variational" in caplog.text


@pytest.mark.parametrize("rate", [0.001, 0.01])
def test_standard_errors_beside_a_variance_of_next_to_nothing(rate):
    """What 60,000 rows tell of the fixed effects is not lost beside the prior of members that hardly differ."""
    examples, features = make_visits(rate), ["intercept", "visit.hours"]
    memory, streamed = (
        fitted(examples, engine, features, ["visit.hours"], "pql", variance=1e-6) for engine in ("memory", "streamed")
    )
    for one, other in zip(memory.fixed_effects(), streamed.fixed_effects(), strict=True):
        assert other.value == pytest.approx(one.value, abs=2e-3)
        assert other.error == pytest.approx(one.error, rel=0.02)


@pytest.mark.parametrize("method", ["variational", "pql"])
def test_engines_come_to_the_same_end(method):
    """A step that looks small between two long ones is not the end."""
    examples, features = make_visits(0.1, (1, 0.5)), ["intercept", "visit.hours"]
    memory, streamed = (
        fitted(examples, engine, features, ["visit.hours"], method).summary() for engine in ("memory", "streamed")
    )
    for name in features:
        key = f"deviation of member {name}"
        assert streamed[key] == pytest.approx(memory[key], rel=0.05)
