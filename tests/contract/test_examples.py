"""The smallest examples of the page of extensions obey the laws, and YAML reads them."""

from __future__ import annotations

import runpy
from contextlib import ExitStack
from pathlib import Path

import pytest

from proml_kedro import extensions, testing
from proml_kedro.extensions import Registry
from proml_kedro.spec import EvaluationSpec, MonitoringSpec

EXAMPLES = Path(__file__).parents[2] / "docs/reference/examples.py"


@pytest.fixture
def registered():
    """The examples under their names, for the length of a test."""
    with ExitStack() as stack:
        for registry in [one for one in vars(extensions).values() if isinstance(one, Registry)]:
            name = next(iter(registry.names()), "nothing")
            known = registry.get(name) if registry.names() else None
            stack.enter_context(registry.temporary(name, known))  # what is registered inside goes with it
        yield runpy.run_path(str(EXAMPLES))


@pytest.mark.usefixtures("registered")
def test_metrics():
    testing.check_metric("squared_error")
    testing.check_ranking_metric("hit@3")
    spec = EvaluationSpec.model_validate({"metrics": ["squared_error"]})
    assert spec.metrics == ["squared_error"]


@pytest.mark.usefixtures("registered")
def test_a_drift_check():
    testing.check_drift_check("zeros", {"change": 0.2})
    read = {"kind": "zeros", "change": 0.2}
    spec = MonitoringSpec.model_validate({"gate": {"checks": {"zeros": read}}})
    assert spec.gate.checks["zeros"].change == 0.2


@pytest.mark.usefixtures("registered")
def test_an_anomaly_detector():
    testing.check_anomaly_detector("record", {"factor": 1.2})
    monitor = {"table": "t", "moment": "at", "agg": "count", "detector": {"kind": "record", "factor": 1.2}}
    spec = MonitoringSpec.model_validate({"anomalies": {"monitors": {"visits": monitor}}})
    assert spec.anomalies.monitors["visits"].detector.factor == 1.2


@pytest.mark.usefixtures("registered")
def test_a_producer(tmp_path):
    testing.check_producer({"kind": "opposite"}, tmp_path)


@pytest.mark.usefixtures("registered")
def test_tables(tmp_path):
    testing.check_aggregate({"agg": "geometric_mean", "expression": "abs(x) + 0.1"})
    testing.check_table_reader("fixed_width", tmp_path)
    testing.check_split({"by": "hash", "column": "user", "percent": 30})


@pytest.mark.usefixtures("registered")
def test_parts_of_a_network():
    testing.check_block({"block": "gate"})
    testing.check_block({"block": "layer", "layer": "Halve"})
    testing.check_head({"loss": "hinge"})


def test_examples_leave_nothing_behind():
    assert "squared_error" not in extensions.metrics.names()
