"""Whether a model passes the gates that its configuration sets; what cannot be told does not pass."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.result import Difference, Evaluation
from proml_kedro.results import GateOutcome
from proml_kedro.spec.evaluation import LATENCY, SLICES, MetricGateSpec


def judge_gates(
    gates: Mapping[str, MetricGateSpec], result: Evaluation, against: Literal["baseline", "champion"] = "baseline"
) -> tuple[GateOutcome, ...]:
    """Hold each gate to what was measured.

    Args:
        gates: By metric.
        result: What was measured.
        against: What the result is a comparison with; gates against something else are left out.
    """
    outcomes = []
    for name, gate in gates.items():
        if gate.against != against:
            continue
        if name == SLICES:
            failures = list(_of_slices(gate, result))
        elif name == LATENCY:
            failures = list(_of_figure(gate, math.nan if result.latency_ms is None else result.latency_ms))
        elif name in result.candidate:
            one = result.differences.get(name)
            failures = [*_of_figure(gate, result.candidate[name]), *_of_lift(gate, one, higher_is_better(name))]
        else:
            failures = [f"the {against} was not judged by it"]
        outcomes.append(GateOutcome(name, passed=not failures, text="; ".join(failures) or "passed"))
    return tuple(outcomes)


_LEAST_SHARE = 0.01
"""Share of rows from which on a slice is held to the gate of slices."""


def _of_slices(gate: MetricGateSpec, result: Evaluation) -> Iterator[str]:
    """Hold the first metric to the limits in every slice that is large enough to say something."""
    higher = higher_is_better(next(iter(result.candidate)))
    large = [one for one in result.slices if one.share >= _LEAST_SHARE]
    if not large:
        yield "there is no slice of at least 1 % of rows; name columns in evaluation.slices"
    for one in large:
        of_all = one.difference and replace(one.difference, p_value=one.difference.p_adjusted)
        for text in (*_of_figure(gate, one.candidate), *_of_lift(gate, of_all, higher)):
            yield f"{one.column} {one.value}: {text}"


def _of_figure(gate: MetricGateSpec, figure: float) -> Iterator[str]:
    for word, limit in (("min", gate.min), ("max", gate.max)):
        if limit is None:
            continue
        if math.isnan(figure):
            yield f"it is undefined, and {word} is {limit:g}"
        elif figure < limit if word == "min" else figure > limit:
            yield f"{figure:.4f} is {'below' if word == 'min' else 'above'} {word} {limit:g}"


def _of_lift(gate: MetricGateSpec, one: Difference | None, higher: bool) -> Iterator[str]:
    """Hold the limits of a lift: the difference from the other model, above 0 where the model is better."""
    if one is None:
        return
    sign = 1 if higher else -1
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
