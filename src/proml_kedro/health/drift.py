"""The verdict: does the current data still look like the reference?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.health.calibrate import Movements
from proml_kedro.health.check import ColumnPair, DriftCheck, checks_of
from proml_kedro.health.profile import ReferenceProfile, count, missing
from proml_kedro.health.profile import profile as make_profile
from proml_kedro.health.schema_check import schema_problem
from proml_kedro.health.statistics import benjamini_hochberg, scale_ratio
from proml_kedro.models.component import Columns, Input
from proml_kedro.results.drift import Cause, ColumnDrift, ColumnVerdict, DriftResult, Measurement, Verdict
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec

_SEVERITY = ("drift", "warn", "ok")

Check = DriftCheck[DriftCheckSpec]


@dataclass(frozen=True)
class _Outcome:
    """The answer of one check about one column; ``message`` is None when it finds no drift."""

    measurement: Measurement
    message: str | None


def check_drift(
    reference: Columns | ReferenceProfile,
    current: Columns,
    inputs: Sequence[Input],
    gate: GateSpec,
    movements: Movements | None = None,
) -> DriftResult:
    """Compare current data with a reference.

    Whatever the current data looks like, the answer is a finding, not an exception.

    Args:
        reference: The data that counts as normal, or its profile.
        current: The data to check.
        inputs: The columns to check, and their types.
        gate: When a difference is drift.
        movements: What :func:`proml_kedro.health.calibrate.calibrate` measured, for calibrated checks.
    """
    known = reference if isinstance(reference, ReferenceProfile) else make_profile(reference, inputs)
    rows = max((len(values) for values in current.values()), default=0)
    is_enough = min(rows, known.rows) >= gate.min_rows
    pairs = [one for one in _pairs(known, current, inputs) if one.problem or is_enough]
    findings = list(_findings(pairs, gate, movements or {}))
    columns = tuple(sorted(findings, key=_worst_first))
    return DriftResult(
        verdict=_verdict(findings, gate) if is_enough else "insufficient",
        reference_rows=known.rows,
        current_rows=rows,
        flagged_share=_flagged_share(findings),
        notices=tuple(_notices(known, current, inputs, gate, rows)),
        columns=columns,
    )


def _pairs(known: ReferenceProfile, current: Columns, inputs: Sequence[Input]) -> Iterator[ColumnPair]:
    """Pair the columns of both sides: those with a problem first, then those whose values can be compared."""
    problems = {
        one.name: problem
        for one in inputs
        if one.name in known.columns and (problem := schema_problem(current, one)) is not None
    }
    for name, problem in problems.items():
        yield ColumnPair(name, known.columns[name], missing(known.columns[name]), problem)
    for name, one in known.columns.items():
        if name not in problems and not one.is_id_like:
            yield ColumnPair(name, one, count(one, current[name]))


def _notices(
    known: ReferenceProfile, current: Columns, inputs: Sequence[Input], gate: GateSpec, rows: int
) -> Iterator[str]:
    if min(rows, known.rows) < gate.min_rows:
        side, found = ("current", rows) if rows <= known.rows else ("reference", known.rows)
        yield f"{found} {side} rows are too few for a verdict; it takes {gate.min_rows}"
    for name, reason in known.unusable.items():
        yield f"{name}: not checked, {reason}"
    for name, one in known.columns.items():
        if one.is_id_like:
            yield f"{name}: not checked, its values hardly repeat"
    expected = {one.name for one in inputs}
    yield from (f"{name}: not checked, nothing reads it" for name in current if name not in expected)


def _findings(pairs: Sequence[ColumnPair], gate: GateSpec, movements: Movements) -> Iterator[ColumnDrift]:
    outcomes: dict[str, dict[str, _Outcome]] = {pair.name: {} for pair in pairs}
    for name, check in checks_of(gate).items():
        asked = [pair for pair in pairs if pair.problem is None or not check.reads_values]
        moved = {pair.name: movements.get(pair.name, {}).get(name, 0.0) for pair in asked}
        for pair, outcome in zip(asked, _ask(check, asked, moved, gate.alpha), strict=True):
            outcomes[pair.name][name] = outcome
    yield from (_finding(pair, outcomes[pair.name], gate) for pair in pairs)


def _ask(check: Check, pairs: Sequence[ColumnPair], moved: Mapping[str, float], alpha: float) -> Iterator[_Outcome]:
    """Ask one check about all columns."""
    p_values = [check.p_value(pair) for pair in pairs]
    tested = [math.nan if one is None else one for one in p_values]
    for pair, p_value, is_significant in zip(pairs, p_values, benjamini_hochberg(tested, alpha), strict=True):
        size, limit = check.size(pair), check.limit(pair.name, moved[pair.name])
        is_drift = size >= limit and (p_value is None or bool(is_significant))
        measurement = Measurement(_defined(size), limit, _defined(p_value))
        yield _Outcome(measurement, check.describe(pair, size, limit) if is_drift else None)


def _defined(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _finding(pair: ColumnPair, outcomes: Mapping[str, _Outcome], gate: GateSpec) -> ColumnDrift:
    messages = {name: one.message for name, one in outcomes.items() if one.message is not None}
    reasons = tuple(messages)
    verdict: ColumnVerdict = "drift" if set(reasons) & set(gate.fail_on) else "warn" if reasons else "ok"
    message = "; ".join(messages.values())
    cause = _cause(outcomes, reasons)
    if pair.problem is not None:
        return ColumnDrift(pair.name, verdict, reasons, message, cause=cause)
    distribution = outcomes["distribution"].measurement
    return ColumnDrift(
        name=pair.name,
        verdict=verdict,
        reasons=reasons,
        message=message,
        psi=distribution.size,
        threshold=distribution.limit,
        p_value=distribution.p_value,
        nulls=(pair.reference.null_share, pair.current.null_share),
        scale=scale_ratio(pair.reference.magnitudes, pair.current.magnitudes),
        new_values=pair.current.new_share,
        checks={name: one.measurement for name, one in outcomes.items() if name not in STANDARD_CHECKS},
        cause=cause,
    )


def _cause(outcomes: Mapping[str, _Outcome], reasons: Sequence[str]) -> Cause | None:
    """Choose the check that a column's verdict rests on: of the reasons the one farthest beyond its limit."""
    shares = {name: _share(outcomes[name].measurement) for name in reasons or ("distribution",) if name in outcomes}
    if not shares:
        return None
    check = max(shares, key=lambda name: shares[name])
    return Cause(check, shares[check] if math.isfinite(shares[check]) else None)


def _share(measured: Measurement) -> float:
    return math.nan if measured.size is None else measured.size / measured.limit


def _worst_first(one: ColumnDrift) -> tuple[int, float]:
    share = one.cause.share if one.cause else 0.0
    return _SEVERITY.index(one.verdict), -math.inf if share is None else -share


def _flagged_share(findings: Sequence[ColumnDrift]) -> float:
    return sum(one.verdict != "ok" for one in findings) / len(findings) if findings else 0.0


def _verdict(findings: Sequence[ColumnDrift], gate: GateSpec) -> Verdict:
    share = _flagged_share(findings)
    if any(one.verdict == "drift" for one in findings) or share >= gate.fail_share:
        return "drift"
    return "warn" if share else "ok"
