"""From cells of now and of before to the parts of a change: sets of values, other columns, everybody, the mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proml_kedro.health.diagnosis.frame import Frame, frame_of, names_of
from proml_kedro.health.diagnosis.sample import Mask, Sample
from proml_kedro.health.diagnosis.scan import scan
from proml_kedro.results.diagnosis import Kind, Part, ValuePart, Verdict

MOST_SETS = 6

_ENOUGH = 3.0
"""What a set has to gain beyond the length of its description, in nats."""
_SURE = 3.5
"""Standard errors from which on a change of all rows is more than chance."""


@dataclass(frozen=True)
class Sides:
    """Rows of now and of before.

    Attributes:
        names: Of the dimensions.
        values: Of each dimension, in the order of their numbers.
        now: Current cells.
        before: Cells of earlier periods.
        periods: Number of current periods, and of earlier ones.
    """

    names: Sequence[str]
    values: Sequence[Sequence[str]]
    now: Sample
    before: Sample
    periods: tuple[int, int]


@dataclass(frozen=True)
class Found:
    """What a change is made of.

    Attributes:
        current: The figure now.
        before: The figure before.
        parts: Sets, everybody and the mix, which add up to the change.
        verdict: The kind of the largest part that is sure.
    """

    current: float
    before: float
    parts: tuple[Part, ...]
    verdict: Verdict


def diagnose(agg: str, sides: Sides, others: Sides | None = None) -> Found:
    """Find what a change is made of.

    Args:
        agg: ``rate``, ``mean``, ``sum`` or ``count``.
        sides: Rows with their declared dimensions.
        others: The same rows with other columns, which are looked at where no set of the declared ones explains.
    """
    frame = frame_of(agg, sides.now, sides.before, sides.periods)
    side = 1 if frame.seen.sum() >= frame.expected.sum() else -1
    parts, left = _sets(frame, side, sides, "set")
    if others is not None and not parts:
        other = frame_of(agg, others.now, others.before, others.periods)
        parts, elsewhere = _sets(other, side, others, "outside")
        frame, left = (other, elsewhere) if parts else (frame, left)
    everything = np.ones(len(left), bool)
    current = float(frame.seen.sum()) / frame.weight
    before = _before(agg, sides)
    parts.append(_part(frame, left, "everybody", {}, _is_sure(frame, left)))
    if agg in ("rate", "mean"):
        expected = frame.figures(everything)[1]
        sure = abs(expected - before) > _SURE * _mix_error(frame, sides)
        rows = int(frame.rows.sum())
        parts.append(Part("mix", {}, rows, 1.0, expected, before, expected - before, sure))
    sure_ones = [one for one in parts if one.sure]
    verdict: Verdict = max(sure_ones, key=lambda one: abs(one.points)).kind if sure_ones else "nothing"
    return Found(current, before, tuple(parts), verdict)


def _before(agg: str, sides: Sides) -> float:
    return sides.before.figure if agg in ("rate", "mean") else float(sides.before.totals.sum()) / sides.periods[1]


def _sets(frame: Frame, side: int, sides: Sides, kind: Kind) -> tuple[list[Part], Mask]:
    """Find sets, each among the rows that those before it leave; returns them, and these rows."""
    parts: list[Part] = []
    left = np.ones(len(frame.seen), bool)
    while len(parts) < MOST_SETS and left.any():
        points = frame.points(left, side)
        score, chosen = scan(points)
        if score < _ENOUGH or not chosen:
            break
        inside = left.copy()
        inside[left] = points.inside(chosen)
        parts.append(_part(frame, inside, kind, names_of(chosen, sides.names, sides.values), True))
        left &= ~inside
    return parts, left


def _part(frame: Frame, inside: Mask, kind: Kind, values: Mapping[str, tuple[str, ...]], sure: bool) -> Part:
    rows, all_ = float(frame.rows[inside].sum()), max(float(frame.rows.sum()), 1.0)
    moved = float((frame.seen[inside] - frame.expected[inside]).sum()) / frame.weight
    return Part(kind, values, int(rows), rows / all_, *frame.figures(inside), moved, sure)


def _is_sure(frame: Frame, left: Mask) -> bool:
    """Tell whether rows that no set holds changed by more than chance."""
    moved = float((frame.seen[left] - frame.expected[left]).sum())
    return bool(left.any()) and abs(moved) > _SURE * max(frame.error(left), 1e-12)


def _mix_error(frame: Frame, sides: Sides) -> float:
    """Return the standard error of what is expected of the current rows, had they been drawn like those before."""
    each = frame.expected / np.maximum(frame.rows, 1e-12)
    mean = float(frame.expected.sum()) / frame.weight
    spread = float((frame.rows * (each - mean) ** 2).sum()) / frame.weight
    return float(np.sqrt(max(spread, 1e-18) * (1 / frame.weight + 1 / sides.before.rows.sum())))


def value_parts(agg: str, sides: Sides) -> list[ValuePart]:
    """Divide the change among the values of each dimension, by rate and by mix; the largest first.

    Those of one dimension add up to the change. A value that was not there before is taken to have had the figure of
    all rows.
    """
    found = []
    for number, name in enumerate(sides.names):
        size = len(sides.values[number])
        rows, totals, rows_before, totals_before = (
            np.bincount(side.codes[number], part, size)
            for side in (sides.now, sides.before)
            for part in (side.rows, side.totals)
        )
        share, share_before = rows / max(rows.sum(), 1.0), rows_before / max(rows_before.sum(), 1.0)
        with np.errstate(all="ignore"):
            now, before = totals / rows, totals_before / rows_before
        if agg in ("rate", "mean"):
            usual = np.where(rows_before > 0, before, sides.before.figure)
            rate = share * (np.where(rows > 0, now, usual) - usual)
            mix = (share - share_before) * (usual - sides.before.figure)
        else:
            now, before = totals / sides.periods[0], totals_before / sides.periods[1]
            rate, mix = now - before, np.zeros(size)
        found += [
            ValuePart(
                name,
                value,
                float(share[one]),
                float(share_before[one]),
                float(now[one]) if rows[one] else None,
                float(before[one]) if rows_before[one] else None,
                float(rate[one]),
                float(mix[one]),
            )
            for one, value in enumerate(sides.values[number])
            if rows[one] or rows_before[one]
        ]
    return sorted(found, key=lambda one: -abs(one.rate + one.mix))
