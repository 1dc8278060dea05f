"""Trials that end early since their curve on the validation part is a bad one beside those of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from proml_kedro.results.trial import Trial
from proml_kedro.spec.search import Pruning

_FIRST_RUNG, _FACTOR = 10, 3
"""Step at which `asha` looks first, and how many times later it looks again; one in so many trials goes on."""

_STARTED = 5
"""Curves that `median` needs to compare with."""


class PrunedError(Exception):
    """A trial ends early."""


@dataclass
class Watcher:
    """The curve of a trial, held beside those of others.

    Attributes:
        pruning: When it ends the trial.
        others: Trials that have a curve.
        curve: What the figures are; only curves of the same figures are compared.
        losses: Figures so far, of which less is better.
    """

    pruning: Pruning
    others: Sequence[Trial]
    curve: str = ""
    losses: list[float] = field(default_factory=list)

    def __call__(self, curve: str, loss: float) -> None:
        """Take the figure of the next step.

        Raises:
            PrunedError: The trial is a bad one.
        """
        self.curve = curve
        self.losses.append(loss)
        alike = [one for one in self.others if one.curve == curve]
        if self.pruning != "none" and _RULES[self.pruning](self.losses, alike):
            raise PrunedError


def is_below_median(losses: Sequence[float], others: Sequence[Trial]) -> bool:
    """Tell whether the best figure so far is worse than the median of whole trials at this step, as Optuna has it."""
    step = len(losses)
    complete = [one.steps for one in others if one.state == "done"]
    there = [one[step - 1] for one in complete if len(one) >= step]
    return len(complete) >= _STARTED and bool(there) and min(losses) > median(there)


def is_not_promoted(losses: Sequence[float], others: Sequence[Trial]) -> bool:
    """Tell whether a rung is reached, and the figure there is not among the best third, as Optuna has it."""
    step, rung = len(losses), _FIRST_RUNG
    while rung < step:
        rung *= _FACTOR
    if rung != step:
        return False
    there = sorted([losses[-1], *(one.steps[step - 1] for one in others if len(one.steps) >= step)])
    return losses[-1] > there[max(len(there) // _FACTOR - 1, 0)]


_RULES: dict[Pruning, Callable[[Sequence[float], Sequence[Trial]], bool]] = {
    "median": is_below_median,
    "asha": is_not_promoted,
}
