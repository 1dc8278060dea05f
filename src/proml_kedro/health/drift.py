"""The verdict: does the current data still look like the reference?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.health.profile import ColumnProfile, ReferenceProfile, Sample, count
from proml_kedro.health.profile import profile as make_profile
from proml_kedro.health.schema_check import schema_problem
from proml_kedro.health.statistics import (
    benjamini_hochberg,
    g_test,
    new_value_excess,
    pool_sparse_bins,
    proportion_test,
    scale_ratio,
    stability_index,
)
from proml_kedro.models.component import Columns, Input
from proml_kedro.results.drift import ColumnDrift, ColumnVerdict, DriftResult, Verdict
from proml_kedro.spec.monitoring import Check, GateSpec

_SEVERITY = ("drift", "warn", "ok")


@dataclass(frozen=True)
class Movement:
    """How far a column has moved by itself, between earlier periods.

    Attributes:
        psi: Its largest population stability index.
        nulls: Its largest change in the share of nulls.
    """

    psi: float = 0.0
    nulls: float = 0.0


@dataclass(frozen=True)
class _Comparison:
    """The statistics of one column."""

    name: str
    reference: Sample
    current: Sample
    psi: float
    threshold: float
    p_value: float
    null_threshold: float
    null_p_value: float
    scale: float
    new_share: float
    new_excess: float


def check_drift(
    reference: Columns | ReferenceProfile,
    current: Columns,
    inputs: Sequence[Input],
    gate: GateSpec,
    movements: Mapping[str, Movement] | None = None,
) -> DriftResult:
    """Compare current data with a reference.

    Whatever the current data looks like, the answer is a finding, not an exception.

    Args:
        reference: The data that counts as normal, or its profile.
        current: The data to check.
        inputs: The columns to check, and their types.
        gate: When a difference is drift.
        movements: What :func:`calibrate` found, for ``psi: calibrated``.
    """
    known = reference if isinstance(reference, ReferenceProfile) else make_profile(reference, inputs)
    rows = max((len(values) for values in current.values()), default=0)
    broken = [
        _schema_finding(one.name, problem, gate)
        for one in inputs
        if one.name in known.columns and (problem := schema_problem(current, one))
    ]
    profiles = {
        name: one
        for name, one in known.columns.items()
        if not one.is_id_like and name not in {finding.name for finding in broken}
    }
    notices = tuple(_notices(known, current, inputs, gate, rows))
    if min(rows, known.rows) < gate.min_rows:
        return _overall("insufficient", known.rows, rows, notices, broken)
    seen = movements if movements and gate.psi == "calibrated" else {}
    compared = [
        _compare(name, one, count(one, current[name]), gate, seen.get(name, Movement()))
        for name, one in profiles.items()
    ]
    findings = [*broken, *_judge(compared, gate)]
    return _overall(_verdict(findings, gate), known.rows, rows, notices, findings)


def calibrate(
    periods: Iterable[tuple[Columns, Columns]], inputs: Sequence[Input], least_rows: int = 500
) -> dict[str, Movement]:
    """How far each column has moved by itself, by name.

    Args:
        periods: Earlier pairs of reference and current data, of the lengths that are to be compared.
        inputs: The columns, and their types.
        least_rows: Pairs with fewer rows on a side say nothing and are passed over.
    """
    largest: dict[str, Movement] = {}
    for before, after in periods:
        known = make_profile(before, [one for one in inputs if schema_problem(after, one) is None])
        if min(known.rows, max((len(values) for values in after.values()), default=0)) < least_rows:
            continue
        for name, one in known.columns.items():
            seen, now = largest.get(name, Movement()), count(one, after[name])
            # max() keeps its first argument when the second one is NaN: nothing to compare is no movement.
            largest[name] = Movement(
                max(seen.psi, stability_index(*pool_sparse_bins(one.sample.counts, now.counts))),
                max(seen.nulls, abs(now.null_share - one.sample.null_share)),
            )
    return largest


def _threshold(name: str, gate: GateSpec, movement: Movement) -> float:
    if name in gate.columns:
        return gate.columns[name]
    return max(gate.psi_floor, gate.psi_margin * movement.psi) if gate.psi == "calibrated" else gate.psi


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


def _overall(
    verdict: Verdict, reference_rows: int, rows: int, notices: tuple[str, ...], findings: Sequence[ColumnDrift]
) -> DriftResult:
    def worst_first(one: ColumnDrift) -> tuple[int, float]:
        return _SEVERITY.index(one.verdict), -(one.psi or 0.0) / (one.threshold or 1.0)

    columns = tuple(sorted(findings, key=worst_first))
    return DriftResult(verdict, reference_rows, rows, _flagged_share(findings), notices, columns)


def _flagged_share(findings: Sequence[ColumnDrift]) -> float:
    return sum(one.verdict != "ok" for one in findings) / len(findings) if findings else 0.0


def _verdict(findings: Sequence[ColumnDrift], gate: GateSpec) -> Verdict:
    share = _flagged_share(findings)
    if any(one.verdict == "drift" for one in findings) or share >= gate.fail_share:
        return "drift"
    return "warn" if share else "ok"


def _column_verdict(reasons: Iterable[Check], gate: GateSpec) -> ColumnVerdict:
    found = set(reasons)
    return "drift" if found & set(gate.fail_on) else "warn" if found else "ok"


def _schema_finding(name: str, problem: str, gate: GateSpec) -> ColumnDrift:
    return ColumnDrift(name, _column_verdict(["schema"], gate), ("schema",), problem)


def _compare(name: str, profile: ColumnProfile, current: Sample, gate: GateSpec, movement: Movement) -> _Comparison:
    reference = profile.sample
    bins = pool_sparse_bins(reference.counts, current.counts)
    return _Comparison(
        name=name,
        reference=reference,
        current=current,
        psi=stability_index(*bins),
        threshold=_threshold(name, gate, movement),
        p_value=g_test(*bins),
        null_threshold=max(gate.null_change, gate.psi_margin * movement.nulls),
        null_p_value=proportion_test(reference.nulls, reference.rows, current.nulls, current.rows),
        scale=scale_ratio(reference.magnitudes, current.magnitudes),
        new_share=current.new / current.values if current.values else 0.0,
        new_excess=new_value_excess(current.new, current.values, profile.unseen, reference.values),
    )


def _judge(compared: Sequence[_Comparison], gate: GateSpec) -> Iterator[ColumnDrift]:
    moved = benjamini_hochberg([one.p_value for one in compared], gate.alpha)
    emptied = benjamini_hochberg([one.null_p_value for one in compared], gate.alpha)
    for one, is_moved, is_emptied in zip(compared, moved, emptied, strict=True):
        reasons = dict(_reasons(one, bool(is_moved), bool(is_emptied), gate))
        yield ColumnDrift(
            name=one.name,
            verdict=_column_verdict(reasons, gate),
            reasons=tuple(reasons),
            message="; ".join(reasons.values()),
            psi=None if math.isnan(one.psi) else one.psi,
            threshold=one.threshold,
            p_value=None if math.isnan(one.p_value) else one.p_value,
            nulls=(one.reference.null_share, one.current.null_share),
            scale=one.scale,
            new_values=one.new_share,
        )


def _reasons(one: _Comparison, is_moved: bool, is_emptied: bool, gate: GateSpec) -> Iterator[tuple[Check, str]]:
    """The checks that found something, each with words for it."""
    before, after = one.reference.null_share, one.current.null_share
    if is_emptied and abs(after - before) >= one.null_threshold:
        infinite = f", {one.current.infinite} numbers are infinite" if one.current.infinite else ""
        yield "nulls", f"nulls {before:.1%} → {after:.1%}{infinite}"
    if not 1 / gate.scale < one.scale < gate.scale:
        words = f"{one.scale:.3g} times larger" if one.scale > 1 else f"{1 / one.scale:.3g} times smaller"
        yield "scale", f"numbers are {words}"
    if one.new_excess >= gate.new_values:
        yield "new_values", f"{one.new_share:.1%} of the values are new categories"
    if is_moved and one.psi >= one.threshold:
        medians = (one.reference.median, one.current.median)
        median = f", median {medians[0]:.6g} → {medians[1]:.6g}" if None not in medians else ""
        yield "distribution", f"PSI {one.psi:.3f} (limit {one.threshold:.3f}){median}"
