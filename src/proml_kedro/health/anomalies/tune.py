"""How wide bands should be, from answers: as wide as keeps the anomalies and leaves out the false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from proml_kedro.health.anomalies.store import Answered

FEWEST = 5
"""Answers from which on a monitor is tuned."""

_PRIOR = 4.0
"""Answers that the declared width counts as much as."""
_PULL = 0.15
"""What a width of e times the declared one costs, in F1, where there are no answers but the prior's."""


@dataclass(frozen=True)
class Tuned:
    """What answers make of a monitor.

    Attributes:
        monitor: Its name.
        answers: Number of answers, those undecided left out.
        true: Those that say that it was an anomaly, if only of a new trend.
        factor: How much wider than declared bands should be; 1 where there are too few answers.
        before: F1 of the answers with the declared width.
        after: The same of each answer with the width that all others make: what is to be expected of further ones.
    """

    monitor: str
    answers: int
    true: int
    factor: float
    before: float
    after: float


def tune(answered: Sequence[Answered]) -> list[Tuned]:
    """Tune each monitor that has answers.

    Args:
        answered: Anomalies with their answers.
    """
    monitors: dict[str, list[tuple[float, bool]]] = {}
    for one in answered:
        if one.answer != "undecided":
            monitors.setdefault(one.monitor, []).append((one.strength, one.answer != "false-alarm"))
    return [_tuned(name, answers) for name, answers in sorted(monitors.items())]


def _tuned(name: str, answers: Sequence[tuple[float, bool]]) -> Tuned:
    true = sum(is_true for _, is_true in answers)
    before = _f1([(True, is_true) for _, is_true in answers])
    if len(answers) < FEWEST:
        return Tuned(name, len(answers), true, 1.0, before, before)
    held_out = [
        (strength > best_factor([*answers[:place], *answers[place + 1 :]]), is_true)
        for place, (strength, is_true) in enumerate(answers)
    ]
    return Tuned(name, len(answers), true, best_factor(answers), before, _f1(held_out))


def best_factor(answers: Sequence[tuple[float, bool]]) -> float:
    """Choose the factor that F1 is largest for, less what it costs to go far from 1 by few answers.

    Factors lie half way between strengths, on a logarithmic scale, so that others like these fall on the same side.

    >>> round(best_factor([(1.2, False), (1.3, False), (1.2, False), (2.7, True), (3.0, True), (4.0, True)]), 2)
    1.87
    """
    strengths = sorted({strength for strength, _ in answers})
    factors = [1.0, *(math.sqrt(low * high) for low, high in pairwise(strengths))]
    pull = _PULL * _PRIOR / (len(answers) + _PRIOR)
    scores: Mapping[float, float] = {
        factor: _f1([(strength > factor, is_true) for strength, is_true in answers]) - pull * abs(math.log(factor))
        for factor in factors
        if factor >= 1
    }
    return max(scores, key=lambda factor: (scores[factor], -factor))


def _f1(pairs: Sequence[tuple[bool, bool]]) -> float:
    """F1 of what is shown and what is true; 1 where nothing is either."""
    hits = sum(shown and true for shown, true in pairs)
    wrong = sum(shown != true for shown, true in pairs)
    return 2 * hits / (2 * hits + wrong) if hits or wrong else 1.0
