"""The verdict: does the current data still look like the reference?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from proml_kedro.health.calibrate import Movements
from proml_kedro.health.check import ColumnPair, DriftCheck, checks_of
from proml_kedro.health.pairs import pair_columns
from proml_kedro.health.profile import ReferenceProfile, is_score
from proml_kedro.health.profile import profile as make_profile
from proml_kedro.health.score_checks import score_checks_of
from proml_kedro.health.severity import (
    SCORE_WEIGHT,
    Outcome,
    cause_of,
    column_verdict,
    lost_sources,
    verdict_of,
    with_partly_lost,
)
from proml_kedro.health.standard_checks import Distribution
from proml_kedro.health.statistics import benjamini_hochberg, scale_ratio
from proml_kedro.models.component import Columns, Input
from proml_kedro.results.drift import ColumnDrift, DriftResult, Measurement
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec
from proml_kedro.spec.training_set import LABEL, SCORE

_SEVERITY = ("drift", "warn", "ok")

_MOST_NAMED = 5

Check = DriftCheck[DriftCheckSpec]


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
        reference: The data that counts as normal, or its profile. Beside the inputs it may have the label.
        current: The data to check, which may have the label too.
        inputs: The columns to check, and their types.
        gate: When a difference is drift.
        movements: What :func:`proml_kedro.health.calibrate.calibrate` measured, for calibrated checks.
    """
    known = reference if isinstance(reference, ReferenceProfile) else make_profile(reference, inputs)
    rows = max((len(values) for values in current.values()), default=0)
    is_enough = min(rows, known.rows) >= gate.min_rows
    pairs = [one for one in pair_columns(known, current, inputs) if one.problem or is_enough]
    findings = with_partly_lost(list(_findings(pairs, known, gate, movements or {})))
    lost = lost_sources(findings)
    columns = tuple(sorted(findings, key=_worst_first))
    verdict = verdict_of(findings, lost, gate)
    return DriftResult(
        verdict=verdict if is_enough or (rows and verdict == "drift") else "insufficient",  # what is gone is gone
        reference_rows=known.rows,
        current_rows=rows,
        flagged_share=_flagged_share(findings),
        notices=(*_notices(known, current, inputs), *_blunt(findings, gate, movements or {})),
        columns=columns,
        lost=tuple(lost),
        needed_rows=gate.min_rows,
    )


def _notices(known: ReferenceProfile, current: Columns, inputs: Sequence[Input]) -> Iterator[str]:
    for name, reason in known.unusable.items():
        yield f"{name}: not checked, {reason}"
    for name, one in known.columns.items():
        if one.is_id_like:
            yield f"{name}: only checked for presence, its values hardly repeat"
    expected = {one.name for one in inputs} | {LABEL}
    yield from (f"{name}: not checked, nothing reads it" for name in current if name not in expected)


def _blunt(findings: Sequence[ColumnDrift], gate: GateSpec, movements: Movements) -> Iterator[str]:
    """Name columns whose past was so restless that a difference that is large by any measure would not be told."""
    calibrated = {
        one.name: one.threshold
        for one in findings
        if one.threshold is not None and gate.psi == "calibrated" and one.name not in gate.columns
    }
    limits = {
        name: limit
        for name, limit in calibrated.items()
        if limit > Distribution.severe and movements.get(name, {}).get("distribution", 0.0) > 0
    }
    named = sorted(limits, key=lambda name: -limits[name])
    if named:
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        words = ", ".join(f"{name} (PSI from {limits[name]:.2f} on)" for name in named[:_MOST_NAMED])
        yield f"only large shifts stand out, as earlier periods differed as much: {words}{more}"


def _findings(
    pairs: Sequence[ColumnPair], known: ReferenceProfile, gate: GateSpec, movements: Movements
) -> Iterator[ColumnDrift]:
    outcomes: dict[str, dict[str, Outcome]] = {pair.name: {} for pair in pairs}
    for name, check in checks_of(gate).items():
        asked = [pair for pair in pairs if _is_asked(check, pair)]
        moved = {pair.name: movements.get(pair.name, {}).get(name, 0.0) for pair in asked}
        for pair, outcome in zip(asked, _ask(check, asked, moved, gate.alpha), strict=True):
            outcomes[pair.name][name] = outcome
    for pair in pairs:
        outcomes[pair.name] |= _ask_about_score(pair, gate, movements.get(SCORE, {}))
    weight = known.score.weight if known.score else lambda name: 1.0
    yield from (
        _finding(pair, outcomes[pair.name], SCORE_WEIGHT if is_score(pair.name) else weight(pair.name), gate)
        for pair in pairs
    )


def _is_asked(check: Check, pair: ColumnPair) -> bool:
    if pair.problem is not None:
        return not check.reads_values
    return check.reads_ids or not pair.is_id_like


def _ask(check: Check, pairs: Sequence[ColumnPair], moved: Mapping[str, float], alpha: float) -> Iterator[Outcome]:
    """Ask one check about all columns."""
    p_values = [check.p_value(pair) for pair in pairs]
    tested = [math.nan if one is None else one for one in p_values]
    for pair, p_value, is_significant in zip(pairs, p_values, benjamini_hochberg(tested, alpha), strict=True):
        size, limit = check.size(pair), check.limit(pair.name, moved[pair.name])
        is_drift = size >= limit and (p_value is None or bool(is_significant))
        measurement = Measurement(_defined(size), limit, _defined(p_value))
        words = check.describe(pair, size, limit) if is_drift else None
        yield Outcome(measurement, words, check.certain(pair, size) if is_drift else None, check.severe)


def _ask_about_score(pair: ColumnPair, gate: GateSpec, moved: Mapping[str, float]) -> dict[str, Outcome]:
    outcomes = {}
    if pair.score is not None:
        for name, check in score_checks_of(gate).items():
            size, limit, p_value = check.size(pair.score), check.limit(moved.get(name, 0.0)), check.p_value(pair.score)
            is_drift = size >= limit and p_value <= gate.alpha
            measurement = Measurement(_defined(size), limit, _defined(p_value))
            words = check.describe(pair.score) if is_drift else None
            outcomes[name] = Outcome(measurement, words, severe=check.severe)
    return outcomes


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _finding(pair: ColumnPair, outcomes: Mapping[str, Outcome], weight: float, gate: GateSpec) -> ColumnDrift:
    messages = {name: one.message for name, one in outcomes.items() if one.message is not None}
    reasons = tuple(messages)
    cause = cause_of(outcomes, reasons)
    share = 0.0 if cause is None else math.inf if cause.share is None else cause.share
    verdict = column_verdict(pair.name, reasons, weight * share, gate)
    message = "; ".join(messages.values())
    if pair.problem is not None:
        return ColumnDrift(pair.name, verdict, reasons, message, cause=cause, weight=weight, is_silent=True)
    distribution = outcomes["distribution"].measurement if "distribution" in outcomes else Measurement(None, 1.0)
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
        weight=weight,
        is_silent=pair.current.distinct < 2,
    )


def _worst_first(one: ColumnDrift) -> tuple[int, float]:
    share = one.cause.share if one.cause else 0.0
    return _SEVERITY.index(one.verdict), -math.inf if share is None else -share * one.weight


def _flagged_share(findings: Sequence[ColumnDrift]) -> float:
    return sum(one.verdict != "ok" for one in findings) / len(findings) if findings else 0.0
