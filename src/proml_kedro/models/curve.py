"""How good a component was on the validation period while it learned."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
        """Return the curve as JSON, with six digits: the last ones depend on the number of threads."""
        return json.dumps({**asdict(self), "values": [float(f"{one:.6g}") for one in self.values]})

    @classmethod
    def from_text(cls, text: str | None) -> Self | None:
        """Read what :meth:`as_text` gave; None for None, as of components that were saved without a curve."""
        return cls(**json.loads(text)) if text else None

    def draw(self, folder: Path, component: str) -> list[str]:
        """Draw the curve, and return the lines of Markdown that show it.

        Args:
            folder: Folder of the plots.
            component: Name of the component.
        """
        from proml_kedro.plots import BLUE, GREY, figure

        name = f"learning_{component}"
        steps = range(1, len(self.values) + 1)
        with figure(folder / f"{name}.png", height=3.5) as axes:
            axes.plot(steps, [one if math.isfinite(one) else math.nan for one in self.values], color=BLUE)
            axes.plot([self.best], [self.values[self.best - 1]], "o", color=BLUE)
            axes.axvline(self.best, color=GREY, linewidth=0.8)
            axes.set_xlabel(f"{self.step}s")
            axes.set_ylabel(self.metric)
            axes.set_title(f"Learning of {component}")
        said = self.in_words
        return [f"\n## Learning of {component}\n", f"{said[0].upper()}{said[1:]}.", f"\n![{said}]({name}.png)"]
