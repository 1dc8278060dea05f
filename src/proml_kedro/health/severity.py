"""How bad it is: from what each check found to the verdict on a column, a source and all of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from proml_kedro.health.profile import is_score
from proml_kedro.results.drift import Cause, ColumnDrift, ColumnVerdict, Measurement, Verdict
from proml_kedro.spec.monitoring import GateSpec

SCORE_WEIGHT = 2.0
"""Evidence in the score counts twice: it is what decisions are made by."""
_SLIGHT = 1.4
"""How many times its limit a difference counts at most that is too small to be severe; less than 3 in the score."""
_LOSSES = frozenset({"schema", "empty", "stuck"})
_OF_A_LOST_SCORE = frozenset({*_LOSSES, "score_relation"})
_FEWEST_SOURCES = 3


@dataclass(frozen=True)
class Outcome:
    """The answer of one check about one column.

    Attributes:
        measurement: What it measured.
        message: What it found; None when it finds no drift.
        certain: The part of the difference that chance does not explain; as large as it is when None.
        severe: Size below which the difference is never severe.
    """

    measurement: Measurement
    message: str | None
    certain: float | None = None
    severe: float = 0.0


def cause_of(outcomes: Mapping[str, Outcome], reasons: Sequence[str]) -> Cause | None:
    """Choose the check that a column's verdict rests on: of the reasons the one farthest beyond its limit."""
    shares = {name: _share(outcomes[name]) for name in reasons or ("distribution",) if name in outcomes}
    if not shares:
        return None
    lost = [name for name in shares if name in _LOSSES and outcomes[name].message is not None]
    check = lost[0] if lost else max(shares, key=lambda name: shares[name])  # what is gone explains all else
    return Cause(check, shares[check] if math.isfinite(shares[check]) else None)


def column_verdict(name: str, reasons: Collection[str], evidence: float, gate: GateSpec) -> ColumnVerdict:
    """Judge one column.

    Args:
        name: Of the column.
        reasons: Checks that found something.
        evidence: How many times its limit the worst of them is, times the weight of the column.
        gate: The limits.
    """
    if not reasons:
        return "ok"
    if not gate.fail_on or set(reasons).isdisjoint(gate.fail_on):
        is_lost_score = is_score(name) and not _OF_A_LOST_SCORE.isdisjoint(reasons)
        if evidence < gate.severe and not is_lost_score:
            return "warn" if evidence >= 1 else "ok"
    return "drift"


def lost_sources(findings: Sequence[ColumnDrift]) -> list[str]:
    """Name the sources of several columns of which not one says anything any more, though two did."""
    columns: dict[str, list[ColumnDrift]] = {}
    for one in findings:
        columns.setdefault(source_of(one.name), []).append(one)
    return [
        source
        for source, those in columns.items()
        if all(one.is_silent for one in those) and sum(not _LOSSES.isdisjoint(one.reasons) for one in those) > 1
    ]


def with_partly_lost(findings: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Let a source differ of which every column lacks more values than before, however little each of them matters.

    One column that lacks more may be of no account; several that do so together are a feed that comes in part.
    """
    columns: dict[str, list[ColumnDrift]] = {}
    for one in findings:
        columns.setdefault(source_of(one.name), []).append(one)
    partly = {source for source, those in columns.items() if _is_partly_lost(those)}
    return [
        replace(one, verdict="warn") if one.verdict == "ok" and source_of(one.name) in partly else one
        for one in findings
    ]


def _is_partly_lost(those: Sequence[ColumnDrift]) -> bool:
    lacking = [one for one in those if "nulls" in one.reasons and one.nulls and one.nulls[1] > one.nulls[0]]
    return len(lacking) > 1 and all(one.is_silent or one in lacking for one in those)


def source_of(name: str) -> str:
    """Name the source of a column: the view of a feature, or the column itself; the score is a source of its own."""
    return "score" if is_score(name) else name.partition(".")[0]


def differing(findings: Sequence[ColumnDrift]) -> tuple[int, int]:
    """Count the sources that differ, and all; columns where there are fewer than three sources."""
    units = {one.name: source_of(one.name) for one in findings}
    if len(set(units.values())) < _FEWEST_SOURCES:
        units = {name: name for name in units}
    differ = {units[one.name] for one in findings if one.verdict != "ok"}
    return len(differ), len(set(units.values()))


def verdict_of(findings: Sequence[ColumnDrift], lost: Sequence[str], gate: GateSpec) -> Verdict:
    """Judge all columns together."""
    differ, of = differing(findings)
    is_wide = differ > 1 and differ >= gate.fail_share * of
    if lost or is_wide or any(one.verdict == "drift" for one in findings):
        return "drift"
    return "warn" if differ else "ok"


def _share(one: Outcome) -> float:
    """Return how many times its limit a difference surely is; one that was found is at least as large as its limit."""
    measured = one.measurement
    if measured.size is None:
        return math.nan
    if one.message is None:
        return measured.size / measured.limit
    share = max(1.0, (measured.size if one.certain is None else one.certain) / measured.limit)
    return share if measured.size >= one.severe else min(share, _SLIGHT)
