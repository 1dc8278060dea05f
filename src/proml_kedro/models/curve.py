"""How good a component was on the validation period while it learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class Curve:
    """A metric of the validation period after each step of training.

    Attributes:
        metric: Its name.
        step: What a step is, such as ``tree`` or ``epoch``.
        values: The metric after each step, in order; the last may be after the best, where training was stopped.
        best: Number of the step that was kept, from 1.
    """

    metric: str
    step: str
    values: Sequence[float]
    best: int

    def __post_init__(self) -> None:
        """Keep six digits of the values: the last ones depend on the number of threads."""
        object.__setattr__(self, "values", [float(f"{one:.6g}") for one in self.values])

    @property
    def in_words(self) -> str:
        """What the curve says of the training: whether more steps would have helped."""
        said = f"{self.metric} of the validation period is {self.values[self.best - 1]:.4g} after {self.best:,}"
        steps = f"{self.step}s" if self.best != 1 else self.step
        if self.best == len(self.values):
            more = "none after it was tried: more may be better" if len(self.values) > 1 else "no other was tried"
            return f"{said} {steps}, the last; {more}"
        return f"{said} {steps}, and not better in the {len(self.values) - self.best:,} after it"

    def as_text(self) -> str:
        """Return the curve as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Self | None:
        """Read what :meth:`as_text` gave; None for None, as of components that were saved without a curve."""
        return cls(**json.loads(text)) if text else None
