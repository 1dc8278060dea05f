"""Checks of the model's score: its level, how it goes with the inputs, and how it goes with the label.

Its distribution, missing values and a score that is stuck are checked as those of any column.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from proml_kedro.health.score_profile import ScorePair
from proml_kedro.health.statistics import shift_test
from proml_kedro.spec.monitoring import GateSpec, ScoreCheckName


@dataclass(frozen=True)
class ScoreCheck(ABC):
    """A way in which scores can differ from those of the reference.

    Attributes:
        change: Smallest change that counts.
        margin: It must also be so many times what earlier periods let expect; 0 when it need not.
        floor: The smallest change that counts unless the configuration says otherwise.
        severe: Change below which it warns at most, however small its limit is.
        follows: Whether its limit follows earlier periods.
    """

    change: float
    margin: float

    floor: ClassVar[float]
    severe: ClassVar[float] = 0.0
    follows: ClassVar[bool] = True

    def limit(self, movement: float) -> float:
        """Return the smallest change that counts, given what earlier periods let expect."""
        return max(self.change, self.margin * movement)

    @abstractmethod
    def size(self, score: ScorePair) -> float:
        """Measure the change; NaN where nothing tells."""

    @abstractmethod
    def p_value(self, score: ScorePair) -> float:
        """Compute how likely such a change is by chance; NaN where nothing tells."""

    @abstractmethod
    def describe(self, score: ScorePair) -> str:
        """Say what was found, in a few words without values of rows."""


class Level(ScoreCheck):
    """Another mean, in standard deviations of the reference's score."""

    floor = 0.2
    severe = 0.5

    def size(self, score: ScorePair) -> float:
        """Measure the shift of the mean."""
        shift = abs(score.current.mean - score.reference.mean)
        if not score.reference.deviation:
            return math.inf if shift else 0.0
        return shift / score.reference.deviation

    def p_value(self, score: ScorePair) -> float:
        """Test whether both means are equal (Welch's test, by the normal distribution)."""
        before, after = score.reference, score.current
        error = math.hypot(before.deviation / math.sqrt(before.rows), after.deviation / math.sqrt(after.rows))
        return shift_test(after.mean - before.mean, error)

    def describe(self, score: ScorePair) -> str:
        """Say both means."""
        return f"mean score {score.reference.mean:.4g} → {score.current.mean:.4g}"


class Relation(ScoreCheck):
    """Scores that do not go with the inputs as they did: mixed up among rows, turned round, or of another model.

    Whatever it was in earlier periods: it is the model's own doing.
    """

    floor = 0.7
    follows = False

    def size(self, score: ScorePair) -> float:
        """Measure how much of the differences between the inputs' bins is lost."""
        return math.nan if score.kept is None else max(0.0, 1 - score.kept)

    def p_value(self, score: ScorePair) -> float:
        """Test whether the differences are as large as they were, by the input that tells most."""
        if score.kept is None:
            return math.nan
        error = math.sqrt((1 - score.explained) / (score.current.rows * score.explained))
        return shift_test(max(0.0, 1 - score.kept), error)

    def describe(self, score: ScorePair) -> str:
        """Say what is left."""
        if score.kept is not None and score.kept < _INVERTED:
            return "scores rise where they fell: they go with the inputs the other way round"
        return f"{max(0.0, score.kept or 0.0):.0%} is left of how the score goes with the inputs"


_INVERTED = -0.25


class Calibration(ScoreCheck):
    """Labels that are higher or lower than the scores say, in standard deviations of what scores leave open."""

    floor = 0.1
    severe = 0.25

    def size(self, score: ScorePair) -> float:
        """Measure the change of the mean difference between label and score."""
        before, after = score.reference, score.current
        if not (before.labelled and after.labelled and before.residual):
            return math.nan
        return abs(after.gap - before.gap) / before.residual

    def p_value(self, score: ScorePair) -> float:
        """Test whether both mean differences are equal."""
        before, after = score.reference, score.current
        if not (before.labelled and after.labelled):
            return math.nan
        error = math.hypot(before.residual / math.sqrt(before.labelled), after.residual / math.sqrt(after.labelled))
        return shift_test(after.gap - before.gap, error)

    def describe(self, score: ScorePair) -> str:
        """Say both mean differences."""
        before, after = score.reference, score.current
        return f"labels less scores {before.gap:+.4g} → {after.gap:+.4g} on average, over {after.labelled:,} labels"


_KINDS: Mapping[ScoreCheckName, type[ScoreCheck]] = {"level": Level, "relation": Relation, "calibration": Calibration}


def score_checks_of(gate: GateSpec) -> dict[str, ScoreCheck]:
    """Return the checks of a gate that are made of the model's score, by name."""
    margin = gate.psi_margin if gate.psi == "calibrated" else 0.0
    return {
        f"score_{name}": kind(gate.score.get(name, kind.floor), margin if kind.follows else 0.0)
        for name, kind in _KINDS.items()
    }
