"""The smallest examples of the page of extensions obey the laws, and YAML reads them."""

from __future__ import annotations

import runpy
from contextlib import ExitStack
from pathlib import Path

import pytest

from proml_kedro import extensions, testing
from proml_kedro.extensions import Registry
from proml_kedro.spec import EvaluationSpec, MonitoringSpec
from proml_kedro.testing.blocks import check_block
from proml_kedro.testing.heads import check_head

EXAMPLES = Path(__file__).parents[2] / "docs/reference/examples.py"


@pytest.fixture
def registered():
    """The examples under their names, for the length of a test."""
    with ExitStack() as stack:
        for registry in [one for one in vars(extensions).values() if isinstance(one, Registry)]:
            stack.enter_context(registry.temporary("nothing", None))  # what is registered inside goes with it
        yield runpy.run_path(str(EXAMPLES))


@pytest.mark.usefixtures("registered")
def test_metrics():
    testing.check_metric("squared_error")
    testing.check_ranking_metric("hit@3")
    spec = EvaluationSpec.model_validate({"metrics": ["squared_error"]})
    assert spec.metrics == ["squared_error"]


@pytest.mark.usefixtures("registered")
def test_a_drift_check():
    read = {"kind": "zeros", "change": 0.2}
    spec = MonitoringSpec.model_validate({"gate": {"checks": {"zeros": read}}})
    assert spec.gate.checks["zeros"].change == 0.2


@pytest.mark.usefixtures("registered")
def test_parts_of_a_network():
    check_block({"block": "gate"})
    check_block({"block": "layer", "layer": "Halve"})
    check_head({"loss": "hinge"})


def test_examples_leave_nothing_behind(registered):
    assert registered["Gate"].__name__ == "Gate"
    with extensions.metrics.temporary("other", None):
        pass
    assert "squared_error" in extensions.metrics.names()
