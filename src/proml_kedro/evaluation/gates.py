"""Whether a model passes the gates that its configuration sets; what cannot be told does not pass."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.result import Evaluation
from proml_kedro.results import GateOutcome
from proml_kedro.spec.evaluation import MetricGateSpec


def judge_gates(gates: Mapping[str, MetricGateSpec], result: Evaluation) -> tuple[GateOutcome, ...]:
    """Hold each gate to what was measured."""
    outcomes = []
    for name, gate in gates.items():
        failures = [*_of_figure(gate, result.candidate[name]), *_of_lift(name, gate, result)]
        outcomes.append(GateOutcome(name, passed=not failures, text="; ".join(failures) or "passed"))
    return tuple(outcomes)


def _of_figure(gate: MetricGateSpec, figure: float) -> Iterator[str]:
    for word, limit in (("min", gate.min), ("max", gate.max)):
        if limit is None:
            continue
        if math.isnan(figure):
            yield f"it is undefined, and {word} is {limit:g}"
        elif figure < limit if word == "min" else figure > limit:
            yield f"{figure:.4f} is {'below' if word == 'min' else 'above'} {word} {limit:g}"


def _of_lift(name: str, gate: MetricGateSpec, result: Evaluation) -> Iterator[str]:
    """Hold the limits of a lift: the difference from the baseline, above 0 where the model is better."""
    one = result.differences.get(name)
    if one is None:
        return
    sign = 1 if higher_is_better(name) else -1
    lift, worst = sign * one.difference, min(sign * one.low, sign * one.high)
    if gate.min_lift is not None and not lift >= gate.min_lift:
        yield f"lift {lift:+.4f} is below min_lift {gate.min_lift:g}"
    untold = f": {one.reason}" if one.reason else ""
    if gate.p is not None and not (lift > 0 and one.p_value <= gate.p):
        p = "is not known" if math.isnan(one.p_value) else f"{one.p_value:.4f}"
        yield f"not better with p of at most {gate.p:g}: lift {lift:+.4f}, p {p}{untold}"
    if gate.margin is not None and not worst > -gate.margin:
        end = "is not known" if math.isnan(worst) else f"begins at {worst:+.4f}"
        yield f"not shown to be as good within margin {gate.margin:g}: its interval {end}{untold}"


def write_junit(file: Path, outcomes: Sequence[GateOutcome], name: str) -> None:
    """Write outcomes as JUnit, a test case for each metric.

    Args:
        file: Where to.
        outcomes: What came of each gate.
        name: Of the model.
    """
    failures = str(sum(not one.passed for one in outcomes))
    suite = ET.Element("testsuite", name=f"gates.{name}", tests=str(len(outcomes)), failures=failures)
    for one in outcomes:
        case = ET.SubElement(suite, "testcase", classname=f"gates.{name}", name=one.metric)
        if not one.passed:
            ET.SubElement(case, "failure", message=one.text, type="gate")
    ET.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
