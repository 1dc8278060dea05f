"""Every drift check that is installed obeys the laws, and the laws find what is wrong."""

from typing import Annotated

import numpy as np
import pytest
from pydantic import Field, ValidationError

from proml_kedro.extensions import drift_checks
from proml_kedro.health.check import DriftCheck
from proml_kedro.health.drift import check_drift
from proml_kedro.models.component import Input
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec
from proml_kedro.testing import check_drift_check


@pytest.mark.parametrize("kind", drift_checks.names())
def test_every_drift_check_obeys_the_laws(kind):
    check_drift_check(kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nulls", "scale", "new_values", "distribution"])
def test_a_standard_kind_may_be_asked_for_again_with_other_limits(kind):
    """With the defaults of its own limits it finds what the gate's finds."""
    check_drift_check(kind, {})


def test_the_checks_of_every_gate_are_installed():
    assert set(STANDARD_CHECKS) <= set(drift_checks.names())


class MedianLimits(DriftCheckSpec):
    factor: Annotated[float, Field(gt=1)] = 2.0


class Median(DriftCheck[MedianLimits]):
    """A median that is several times larger."""

    Limits = MedianLimits

    def size(self, pair):
        before, after = pair.reference.median, pair.current.median
        return after / before if before and after and before > 0 else np.nan

    def limit(self, column, movement):
        return self.limits.factor

    def describe(self, pair, size, limit):
        return f"the median is {size:.3g} times larger"

    def example(self):
        return np.full(900, 2.0), np.full(900, 5.0)


class Deaf(Median):
    """It never finds a thing."""

    def size(self, pair):
        return 0.0


class Nervous(Median):
    """Any two samples differ in this."""

    def size(self, pair):
        return 3.0 if tuple(pair.reference.counts) != tuple(pair.current.counts) else 0.0


class Restless(Median):
    """It always finds something."""

    def size(self, pair):
        return 3.0


class Fragile(Median):
    """It knows columns with a median only."""

    def size(self, pair):
        return pair.current.median / (pair.reference.median or 1.0)


@pytest.mark.parametrize(
    ("broken", "error", "law"),
    [
        (Deaf, AssertionError, "its own example"),
        (Restless, AssertionError, "the same values"),
        (Nervous, AssertionError, "false alarms"),
        (Fragile, TypeError, "NoneType"),
    ],
)
def test_the_laws_find_a_broken_check(broken, error, law):
    with drift_checks.temporary("mine", Median):
        check_drift_check("mine", {"factor": 1.9})
    with drift_checks.temporary("mine", broken), pytest.raises(error, match=law):
        check_drift_check("mine", {"factor": 1.9})


def test_what_the_yaml_of_a_gate_says_is_checked():
    with drift_checks.temporary("median", Median):
        gate = GateSpec.model_validate({"checks": {"level": {"kind": "median", "factor": 3}}, "fail_on": ["level"]})
        assert gate.checks["level"] == MedianLimits(kind="median", factor=3)
        assert gate.model_dump()["checks"] == {"level": {"kind": "median", "factor": 3.0}}
        for content, message in (
            ({"checks": {"level": {"kind": "median", "factor": 1}}}, "greater than 1"),
            ({"checks": {"level": {"kind": "median", "factr": 2}}}, "Extra inputs"),
            ({"checks": {"level": {"kind": "medium"}}}, "Did you mean 'median'"),
            ({"checks": {"level": {}}}, "kind is missing"),
            ({"checks": {"scale": {"kind": "median"}}}, "'scale' is a check of every gate"),
            ({"fail_on": ["levle"], "checks": {"level": {"kind": "median"}}}, "Did you mean 'level'"),
        ):
            with pytest.raises(ValidationError, match=message):
                GateSpec.model_validate(content)


def test_further_checks_are_in_the_verdict_and_the_json():
    inputs = [Input("price", "float"), Input("city", "str")]
    reference = {"price": np.full(900, 2.0), "city": np.full(900, "a", object)}
    with drift_checks.temporary("median", Median):
        gate = GateSpec.model_validate(
            {"checks": {"level": {"kind": "median"}}, "fail_on": ["level"], "psi": 99, "scale": 99, "range": 1}
        )
        result = check_drift(reference, {**reference, "price": np.full(900, 5.0)}, inputs, gate)
    assert (result.verdict, result.columns[0].reasons) == ("drift", ("level",))
    assert result.columns[0].message == "the median is 2.5 times larger"
    price, city = result.as_dict()["columns"]
    assert price["checks"] == {"level": {"size": 2.5, "limit": 2.0, "p_value": None}}
    assert city["checks"] == {"level": {"size": None, "limit": 2.0, "p_value": None}}
    plain = check_drift(reference, reference, inputs, GateSpec())
    assert all("checks" not in one for one in plain.as_dict()["columns"])
